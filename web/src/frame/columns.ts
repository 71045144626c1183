// Access to the columns of a frame by what they are for.

import { dayStart } from "../lib/time.ts";
import type { Cell, Frame, FrameColumn, Role } from "./frame.ts";

export function columnsByRole(frame: Frame): Record<Role, FrameColumn[]> {
  const byRole: Record<Role, FrameColumn[]> = { time: [], dimension: [], measure: [], detail: [], hidden: [] };
  for (const column of frame.columns) byRole[column.role].push(column);
  return byRole;
}

/** The columns that people see, in the order of the statement. */
export const shownColumns = (frame: Frame): FrameColumn[] => frame.columns.filter(({ role }) => role !== "hidden");

export const isNumeric = ({ type }: FrameColumn): boolean => type === "int" || type === "float";

/** A number that can be drawn. Null for NULL, and for values that are not finite. */
export function toNumber(cell: Cell | undefined): number | null {
  if (typeof cell === "boolean") return cell ? 1 : 0;
  if (typeof cell !== "number" && typeof cell !== "bigint") return null;
  const number = Number(cell);
  return Number.isFinite(number) ? number : null;
}

/** The instant of a cell of a time column: a date is midnight in the context's zone. */
export function toInstant(cell: Cell | undefined, column: FrameColumn, zone: string): number | null {
  const number = toNumber(cell);
  if (number === null) return null;
  return column.type === "date" ? dayStart(number, zone) : number;
}

/** Identifies the value of a dimension. NULL and the text "NULL" are different. */
export const valueKey = (cell: Cell | undefined): string => (cell === null || cell === undefined ? "\0" : String(cell));

/** The rollup keeps a bounded number of values per day. This one stands for all the others. */
export const REST_VALUE = "(other)";

/** A value of a dimension, by which a panel can be filtered. */
export interface DimensionValue {
  dimension: string;
  cell: Cell;
}
