/** Hands a file to the visitor. */
export function download(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser reads the content after the click has returned.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A file name that says what it holds and when it was taken: error_rate-6h-2026-11-21T0705.csv */
export function fileName(panel: string, range: string, at: Date, extension: string): string {
  const stamp = at.toISOString().slice(0, 16).replace(":", "");
  return `${panel}-${range}-${stamp}.${extension}`;
}

/** Copies a text. Without HTTPS browsers have no clipboard interface except on localhost: then the old way. */
export async function copyToClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    // An open dialog makes the rest of the page inert, so the text has to be selected inside it.
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}
