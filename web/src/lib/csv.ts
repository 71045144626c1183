// A table as CSV (RFC 4180), for spreadsheets and scripts.

import type { Cell, CellKind, PlainTable } from "./table.ts";

function field(cell: Cell, kind: CellKind): string {
  if (cell === null) return "";
  if (typeof cell === "boolean") return String(cell);
  if (typeof cell === "number") return kind === "time" ? new Date(cell).toISOString() : String(cell);
  // Text comes from events, so from untrusted clients. A spreadsheet evaluates text that starts like a formula.
  const safe = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function toCsv(table: PlainTable): string {
  const header = table.columns.map((column) => field(column.name, "text")).join(",");
  const lines = table.rows.map((row) => table.columns.map((c, i) => field(row[i] ?? null, c.kind)).join(","));
  return `${[header, ...lines].join("\r\n")}\r\n`;
}
