// The text of a cell, in the same words everywhere on the page.

import { countryName, decimalsFor, formatCount, formatValue, isInlineUnit, percentDecimals } from "../lib/format.ts";
import { dayStart, formatDay, formatInstant } from "../lib/time.ts";
import type { Cell, Figure, Frame, FrameColumn, FrameContext } from "./frame.ts";

/** Whole numbers that name something rather than count it: separators would make 2026 into 2,026. */
const IDENTIFIER = /(^|_)(id|year|code|port|version|hash|zip)$/i;
const COUNTRY = /(^|_)country(_code)?$/i;

/** Longer texts are clipped anyway, and a cell may hold a megabyte. */
const MAX_TEXT = 2000;

/** Formats the cells of a column. The number of decimals is the same in the whole column. */
export function cellFormat(column: FrameColumn, context: FrameContext): (cell: Cell | undefined) => string {
  const { zone, computedAt } = context;
  const plainDigits = column.type === "int" && (column.role === "dimension" || IDENTIFIER.test(column.name));
  const decimals = columnDecimals(column);
  // In all rows or in none.
  const seconds = column.type === "time" && column.values.some((value) => Number(value) % 60_000 !== 0);
  return (cell) => {
    if (cell === null || cell === undefined) return "–";
    if (typeof cell === "boolean") return cell ? "yes" : "no";
    if (typeof cell === "string") return textOf(cell, column);
    if (column.type === "time") return formatInstant(Number(cell), zone, computedAt, seconds);
    if (column.type === "date") return formatDay(dayStart(Number(cell), zone), zone, computedAt);
    if (plainDigits) return String(cell).replace("-", "−");
    return formatValue(cell, column.unit, decimals);
  };
}

function columnDecimals({ type, unit, values }: FrameColumn): number | undefined {
  if (unit === "%") return percentDecimals(values);
  return type === "float" && !isInlineUnit(unit) ? decimalsFor(values) : undefined;
}

function textOf(text: string, { name, role }: FrameColumn): string {
  if (COUNTRY.test(name) && /^([A-Z]{2})?$/.test(text)) return countryName(text);
  if (text === "" && role === "dimension") return "(empty)";
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

/** The value of a dimension as the name of a series or a bar. */
export const dimensionLabel = (cell: Cell | undefined, column: FrameColumn, context: FrameContext): string =>
  cell === null || cell === undefined ? "(none)" : cellFormat(column, context)(cell);

export function figureText({ value, unit, isTime }: Figure, frame: Frame): string {
  if (value === null) return "–";
  if (isTime) return formatInstant(Number(value), frame.context.zone, frame.context.computedAt);
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "bigint" && !isInlineUnit(unit) ? formatCount(value) : formatValue(value, unit);
}
