// The figures behind a chart, as a table: what the table view shows and the CSV holds.

import { count, decimal, duration, percent } from "./format.ts";
import { instantLabel } from "./time.ts";

export type Cell = string | number | boolean | null;

export type CellKind = "text" | "count" | "number" | "percent" | "duration" | "time" | "flag";

export interface TableColumn {
  /** The name in the CSV, as in the contract. */
  name: string;
  /** The name that people read. */
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
  if (kind === "time") return instantLabel(cell, zone);
  if (kind === "percent") return percent(cell);
  if (kind === "duration") return duration(cell);
  return kind === "count" ? count(cell) : decimal(cell);
}
