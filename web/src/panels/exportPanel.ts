// Exports a panel as a CSV or PNG file. Names and words come from the frame and its query.

import type { CsvVariant } from "../frame/csv.ts";
import { csvBytes } from "../frame/csv.ts";
import { loadWhenIdle } from "../lazyPart.ts";
import { downloadFile, panelFileName } from "../lib/download.ts";
import type { LastFrame } from "../live/hooks.tsx";
import type { PanelInfo } from "../live/protocol.ts";

const loadPng = () => import("./png.ts");
// The download reports a failure, not the attempt in advance.
loadWhenIdle(() => void loadPng().catch(() => {}));

export function downloadCsv(info: PanelInfo, { frame, query }: LastFrame, variant: CsvVariant): void {
  const charset = variant === "raw" ? "utf-8" : "utf-16le";
  const content = new Blob([csvBytes(frame, variant)], { type: `text/csv;charset=${charset}` });
  const name = variant === "raw" ? info.name : `${info.name}-spreadsheet`;
  downloadFile(panelFileName(name, query.range, frame.context, "csv"), content);
}

/** `card` holds the drawn chart. */
export async function downloadPng(info: PanelInfo, drawn: LastFrame, stale: boolean, card: HTMLElement): Promise<void> {
  const { toPng } = await loadPng();
  const { frame, query } = drawn;
  downloadFile(panelFileName(info.name, query.range, frame.context, "png"), await toPng(info, frame, stale, card));
}
