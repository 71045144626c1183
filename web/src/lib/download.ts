import { isoWithOffset } from "./time.ts";

/** Saves a file through the browser's download. */
export function downloadFile(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser reads the blob after `click` returns.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * For example error_rate-6h-2026-11-21T080500+0100.csv: the requested range, and the moment of the figures in their zone.
 */
export function panelFileName(
  panel: string,
  range: string,
  { computedAt, zone }: { computedAt: number; zone: string },
  extension: string,
): string {
  const [date = "", rest = ""] = isoWithOffset(computedAt, zone).split("T");
  const stamp = `${date}T${rest.replace(/\.\d+/, "").replaceAll(":", "")}`;
  return `${panel}-${range}-${stamp}.${extension}`.replaceAll(/[^\w.+-]/g, "_");
}

/** Browsers expose the clipboard API only on HTTPS and localhost. Elsewhere this falls back to `execCommand`. */
export async function copyToClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    // An open modal dialog makes the rest of the page inert, so the text area has to be inside it.
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}
