// The rows of a frame in another order, and only some of them.

import { cellFormat } from "../frame/cellText.ts";
import { shownColumns } from "../frame/columns.ts";
import type { Cell, Frame } from "../frame/frame.ts";

export interface RowOrder {
  /** Name of a column. Undefined: the order of the statement. */
  column?: string;
  descending: boolean;
  /** Rows that contain this text in any column, in upper or lower case. */
  search: string;
}

export function sortedRows(frame: Frame, { column, descending, search }: RowOrder): Frame {
  const wanted = search.trim().toLowerCase();
  const shown = shownColumns(frame).map((each) => ({ ...each, text: cellFormat(each, frame.context) }));
  let rows = Array.from({ length: frame.rows }, (_, row) => row);
  if (wanted) {
    rows = rows.filter((row) => shown.some(({ text, values }) => text(values[row]).toLowerCase().includes(wanted)));
  }
  const by = frame.columns.find(({ name }) => name === column);
  if (by) rows.sort((a, b) => compareCells(by.values[a], by.values[b], descending) || a - b);
  if (!wanted && !by) return frame;
  const columns = frame.columns.map((each) => ({ ...each, values: rows.map((row) => each.values[row] ?? null) }));
  return { ...frame, columns, rows: rows.length };
}

/** Missing values are last, whatever the direction. */
function compareCells(a: Cell | undefined, b: Cell | undefined, descending: boolean): number {
  const missingA = a === null || a === undefined;
  const missingB = b === null || b === undefined;
  if (missingA || missingB) return Number(missingA) - Number(missingB);
  const order = typeof a === "string" && typeof b === "string" ? a.localeCompare(b, "en") : a < b ? -1 : a > b ? 1 : 0;
  return descending ? -order : order;
}
