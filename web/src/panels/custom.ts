// A panel that the page does not know: a table of the server, drawn by the kind of chart that its file names.

import { Chart, type Column, type PanelTable, type Value } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatDecimal } from "../lib/format.ts";
import { type Cell, type CellKind, cellText, isNumeric, type PlainTable, type TableColumn } from "../lib/table.ts";
import type { Display, ShapedPanel } from "./panel.ts";
import { type Point, type Series, seriesColor, toMillis } from "./points.ts";

export interface CustomPanelData {
  chart: Chart;
  unit: string;
  table: PlainTable;
  /** Of a chart over time. */
  points: Point[];
  series: Series[];
  /** Of a chart over names. */
  bars: { name: string; values: Record<string, number | null> }[];
}

function cell({ kind }: Value): Cell {
  switch (kind.case) {
    case undefined:
      return null;
    case "int64Value":
    case "uint64Value":
      return Number(kind.value);
    case "timestampValue":
      return toMillis(kind.value);
    default:
      return kind.value;
  }
}

function kindOf({ name, type }: Column): CellKind {
  if (/DateTime/.test(type)) return "time";
  if (name === "incomplete" || /Bool/.test(type)) return "flag";
  if (/String|UUID|Enum|Date|IPv/.test(type)) return "text";
  if (/_pct$/.test(name)) return "percent";
  if (/_ms$/.test(name)) return "duration";
  return /Int/.test(type) ? "count" : "number";
}

/** The contract's names are made for programs: error_rate_pct becomes "Error rate". */
function labelOf(name: string): string {
  const words = name.replace(/_(pct|ms)$/, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function toPlainTable(table: PanelTable): PlainTable {
  const columns = table.columns.map((column) => ({
    name: column.name,
    label: labelOf(column.name),
    kind: kindOf(column),
  }));
  const rows = table.rows.map((row) =>
    row.values.map((value, index) => {
      const found = cell(value);
      // ClickHouse's truth values are often UInt8.
      return columns[index]?.kind === "flag" && found !== null ? Boolean(found) : found;
    }),
  );
  return { columns, rows };
}

const number = (value: Cell | undefined): number | null => (typeof value === "number" ? value : null);

/**
 * The columns that are drawn: those of values that are of one kind with the first, since a chart has one axis, and
 * percents beside counts would lie flat on it. The table has them all.
 */
function drawn(columns: TableColumn[]): number[] {
  const values = columns.flatMap((column, index) => (index > 0 && isNumeric(column.kind) ? [index] : []));
  const kind = columns[values[0] ?? 0]?.kind;
  return values.filter((index) => columns[index]?.kind === kind);
}

/** One series for each column of values; or, where there is a column of names too, one for each of the names. */
function overTime({ columns, rows }: PlainTable): Pick<CustomPanelData, "points" | "series"> {
  const flag = columns.findIndex((column) => column.name === "incomplete");
  const names = columns.findIndex((column, index) => index > 0 && column.kind === "text");
  const values = drawn(columns);
  const used = names < 0 ? values : values.slice(0, 1);
  const points = new Map<number, Point>();
  const series = new Map<string, Series>();
  for (const row of rows) {
    const at = number(row[0]) ?? 0;
    const point: Point = points.get(at) ?? { at, incomplete: flag >= 0 && row[flag] === true, values: {} };
    for (const index of used) {
      const label = names < 0 ? (columns[index]?.label ?? "") : String(row[names]);
      if (!series.has(label)) series.set(label, { key: label, label, color: seriesColor(series.size) });
      point.values[label] = number(row[index]);
    }
    points.set(at, point);
  }
  return { points: [...points.values()].sort((a, b) => a.at - b.at), series: [...series.values()] };
}

function overNames({ columns, rows }: PlainTable, zone: string): Pick<CustomPanelData, "bars" | "series"> {
  const values = drawn(columns);
  const series = values.map((index, place) => {
    const label = columns[index]?.label ?? "";
    return { key: label, label, color: seriesColor(place) };
  });
  const bars = rows.map((row) => ({
    name: cellText(row[0] ?? null, columns[0]?.kind ?? "text", zone),
    values: Object.fromEntries(values.map((index, place) => [series[place]?.key ?? "", number(row[index])])),
  }));
  return { bars, series };
}

export function shapeCustom(
  value: PanelTable,
  chart: Chart,
  unit: string,
  display: Display,
): ShapedPanel<CustomPanelData> {
  const table = toPlainTable(value);
  const timed = table.columns[0]?.kind === "time" && chart !== Chart.HORIZONTAL_BAR;
  const drawing = timed ? { bars: [], ...overTime(table) } : { points: [], ...overNames(table, display.zone) };
  const first = table.rows[0]?.[0] ?? null;
  const lead = typeof first === "number" && chart === Chart.NUMBER ? `${formatDecimal(first)} ${unit}`.trim() : "";
  const summary = lead || `${table.rows.length} rows of ${table.columns.map((column) => column.label).join(", ")}`;
  return {
    data: { chart, unit, table, ...drawing },
    summary: `${summary}.`,
    headline: lead ? [lead] : [],
    table,
    empty: table.rows.length === 0,
    approximate: value.context?.approximate ?? false,
  };
}
