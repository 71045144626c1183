// Exports a panel as a CSV or PNG file. Names and words come from the frame and its query.

import type { CsvVariant } from "../frame/csv.ts";
import { csvBytes } from "../frame/csv.ts";
import type { Frame } from "../frame/frame.ts";
import { loadWhenIdle } from "../lazyPart.ts";
import { downloadFile, panelFileName } from "../lib/download.ts";
import type { LastFrame } from "../live/hooks.tsx";
import type { PanelInfo } from "../live/protocol.ts";
import type { Selection } from "../query/query.ts";
import { rangeFileName } from "../query/range.ts";

const loadPng = () => import("./png.ts");
// The download reports a failure, not the attempt in advance.
loadWhenIdle(() => void loadPng().catch(() => {}));

/** "30d", "30d-filtered". */
export const selectionName = ({ range, filters }: Selection, { context }: Frame): string =>
  `${rangeFileName(range, context.zone)}${filters?.length ? "-filtered" : ""}`;

export function downloadCsv(info: PanelInfo, { frame, query }: LastFrame, variant: CsvVariant): void {
  const charset = variant === "raw" ? "utf-8" : "utf-16le";
  const content = new Blob([csvBytes(frame, variant)], { type: `text/csv;charset=${charset}` });
  const name = variant === "raw" ? info.name : `${info.name}-spreadsheet`;
  downloadFile(panelFileName(name, selectionName(query, frame), frame.context, "csv"), content);
}

/** `card` holds the drawn chart. */
export async function downloadPng(
  info: Pick<PanelInfo, "name" | "title" | "chart">,
  drawn: LastFrame,
  stale: boolean,
  card: HTMLElement,
): Promise<void> {
  const { toPng } = await loadPng();
  const { frame, query } = drawn;
  const name = panelFileName(info.name, selectionName(query, frame), frame.context, "png");
  downloadFile(name, await toPng(info, drawn, stale, card));
}
