// The values of a chart as a table, for the table view and the CSV export.

import { formatCount, formatDecimal, formatDuration, formatPercent } from "./format.ts";
import { dateTimeLabel } from "./time.ts";

export type Cell = string | number | boolean | null;

export type CellKind = "text" | "count" | "number" | "percent" | "duration" | "time" | "flag";

export interface TableColumn {
  /** The contract's field name, used in the CSV. */
  name: string;
  /** The column heading. */
  label: string;
  kind: CellKind;
}

export interface PlainTable {
  columns: TableColumn[];
  rows: Cell[][];
}

export const column = (name: string, label: string, kind: CellKind): TableColumn => ({ name, label, kind });

export const isNumeric = (kind: CellKind): boolean => kind !== "text" && kind !== "time" && kind !== "flag";

export function cellText(cell: Cell, kind: CellKind, zone: string): string {
  if (cell === null) return "–";
  if (typeof cell === "boolean") return cell ? "yes" : "no";
  if (typeof cell === "string") return cell;
  if (kind === "time") return dateTimeLabel(cell, zone);
  if (kind === "percent") return formatPercent(cell);
  if (kind === "duration") return formatDuration(cell);
  return kind === "count" ? formatCount(cell) : formatDecimal(cell);
}
