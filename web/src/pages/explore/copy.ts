import { copyToClipboard } from "../../lib/download.ts";
import { showToast } from "../../ui/toast.ts";
import { words } from "./strings.ts";

/** Says whether it is copied. */
export async function copy(text: string, done: string): Promise<void> {
  const copied = await copyToClipboard(text);
  showToast(copied ? { title: done } : { title: words.copyFailed, type: "error" });
}
