// A frame as a file.
//
// The raw file is for scripts: RFC 4180, the names of the statement, every digit. The file for spreadsheets opens correctly
// with a double click in every region: UTF-16 with tabs, the words of the page, and no text that runs as a formula. Excel
// splits it at tabs whatever the list separator of the region is. In UTF-8 it would need a "sep=" line, which makes it
// ignore the byte order mark.

import { countryName } from "../lib/format.ts";
import { dayStart, isoWithOffset } from "../lib/time.ts";
import { shownColumns } from "./columns.ts";
import { withComparedColumns } from "./compared.ts";
import type { Cell, Frame, FrameColumn } from "./frame.ts";

export type CsvVariant = "raw" | "spreadsheet";

/** The content of the file. */
export function csvBytes(frame: Frame, variant: CsvVariant): Uint8Array<ArrayBuffer> {
  const text = toCsv(frame, variant);
  if (variant === "raw") return new TextEncoder().encode(text);
  const bytes = new DataView(new ArrayBuffer(2 * text.length + 2));
  bytes.setUint16(0, 0xfeff, true);
  for (let i = 0; i < text.length; i += 1) bytes.setUint16(2 * i + 2, text.charCodeAt(i), true);
  return new Uint8Array(bytes.buffer);
}

export function toCsv(result: Frame, variant: CsvVariant): string {
  const frame = withComparedColumns(result);
  const separator = variant === "raw" ? "," : "\t";
  const columns = shownColumns(frame);
  const quote = variant === "raw" ? quoteRaw : quoteForSpreadsheet;
  const header = columns.map((column) => quote(variant === "raw" ? column.name : column.label)).join(separator);
  const lines = [header];
  for (let row = 0; row < frame.rows; row += 1) {
    const fields = columns.map((column) => field(column.values[row] ?? null, column, frame, variant, quote));
    lines.push(fields.join(separator));
  }
  return `${lines.join("\r\n")}\r\n`;
}

function field(
  cell: Cell,
  column: FrameColumn,
  { context: { zone } }: Frame,
  variant: CsvVariant,
  quote: (text: string) => string,
): string {
  if (cell === null) return "";
  if (typeof cell === "string") return quote(variant === "spreadsheet" ? readable(cell, column) : cell);
  if (typeof cell === "boolean") return String(cell);
  if (column.type === "time") return isoWithOffset(Number(cell), zone);
  if (column.type === "date") return isoWithOffset(dayStart(Number(cell), "UTC"), "UTC").slice(0, 10);
  // Spreadsheets round numbers of more than 15 digits, but not text.
  if (variant === "spreadsheet" && typeof cell === "bigint") return `"=""${cell}"""`;
  if (variant === "spreadsheet" && column.type === "float")
    return String(Number(Number(cell).toPrecision(SHOWN_DIGITS)));
  return String(cell);
}

/** 17858.711828526066 is noise in a spreadsheet. */
const SHOWN_DIGITS = 10;

const readable = (text: string, { name }: FrameColumn): string =>
  /(^|_)country(_code)?$/i.test(name) && /^([A-Z]{2})?$/.test(text) ? countryName(text) : text;

const quoteRaw = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/**
 * Text comes from events, so from untrusted clients. A spreadsheet runs text that starts like a formula, also with full-width
 * signs, and where the region's separator is a semicolon or a tab, after each of these.
 */
const FORMULA = /(^|[;,\t\r\n|])(\s*["']?\s*)([=+\-@＝＋－＠\t\r\n])/g;

const quoteForSpreadsheet = (text: string): string => `"${text.replace(FORMULA, "$1'$2$3").replaceAll('"', '""')}"`;
