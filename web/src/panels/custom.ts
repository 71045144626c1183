// A custom panel: a table from the server, drawn with the chart type that the panel file sets.

import { Chart, type Column, type PanelTable, type Value } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatDecimal } from "../lib/format.ts";
import { type Cell, type CellKind, cellText, isNumeric, type PlainTable, type TableColumn } from "../lib/table.ts";
import type { Display, ShapedPanel } from "./panel.ts";
import { type Point, type Series, seriesColor, toMillis } from "./points.ts";

export interface CustomPanelData {
  chart: Chart;
  unit: string;
  table: PlainTable;
  /** Set for charts over time. */
  points: Point[];
  series: Series[];
  /** Set for charts over categories. */
  bars: { name: string; values: Record<string, number | null> }[];
}

function toCell({ kind }: Value): Cell {
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

function cellKind({ name, type }: Column): CellKind {
  if (/DateTime/.test(type)) return "time";
  if (name === "incomplete" || /Bool/.test(type)) return "flag";
  if (/String|UUID|Enum|Date|IPv/.test(type)) return "text";
  if (/_pct$/.test(name)) return "percent";
  if (/_ms$/.test(name)) return "duration";
  return /Int/.test(type) ? "count" : "number";
}

/** Column heading for a field name: error_rate_pct becomes "Error rate". */
function columnLabel(name: string): string {
  const words = name.replace(/_(pct|ms)$/, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function toPlainTable(table: PanelTable): PlainTable {
  const columns = table.columns.map((column) => ({
    name: column.name,
    label: columnLabel(column.name),
    kind: cellKind(column),
  }));
  const rows = table.rows.map((row) =>
    row.values.map((raw, index) => {
      const value = toCell(raw);
      // ClickHouse comparisons return UInt8, not Bool.
      return columns[index]?.kind === "flag" && value !== null ? Boolean(value) : value;
    }),
  );
  return { columns, rows };
}

const toNumber = (value: Cell | undefined): number | null => (typeof value === "number" ? value : null);

/**
 * The numeric columns of the same kind as the first. A chart has one axis, on which percentages beside counts would be
 * flat. The table shows all columns.
 */
function plottedColumns(columns: TableColumn[]): number[] {
  const numeric = columns.flatMap((column, index) => (index > 0 && isNumeric(column.kind) ? [index] : []));
  const kind = columns[numeric[0] ?? 0]?.kind;
  return numeric.filter((index) => columns[index]?.kind === kind);
}

/** One series per numeric column, or per value of the text column if there is one. */
function timeSeries({ columns, rows }: PlainTable): Pick<CustomPanelData, "points" | "series"> {
  const flagColumn = columns.findIndex((column) => column.name === "incomplete");
  const nameColumn = columns.findIndex((column, index) => index > 0 && column.kind === "text");
  const plotted = plottedColumns(columns);
  const seriesColumns = nameColumn < 0 ? plotted : plotted.slice(0, 1);
  const points = new Map<number, Point>();
  const series = new Map<string, Series>();
  for (const row of rows) {
    const at = toNumber(row[0]) ?? 0;
    const point: Point = points.get(at) ?? { at, incomplete: flagColumn >= 0 && row[flagColumn] === true, values: {} };
    for (const index of seriesColumns) {
      const label = nameColumn < 0 ? (columns[index]?.label ?? "") : String(row[nameColumn]);
      if (!series.has(label)) series.set(label, { key: label, label, color: seriesColor(series.size) });
      point.values[label] = toNumber(row[index]);
    }
    points.set(at, point);
  }
  return { points: [...points.values()].sort((a, b) => a.at - b.at), series: [...series.values()] };
}

function categoryBars({ columns, rows }: PlainTable, zone: string): Pick<CustomPanelData, "bars" | "series"> {
  const plotted = plottedColumns(columns);
  const series = plotted.map((index, position) => {
    const label = columns[index]?.label ?? "";
    return { key: label, label, color: seriesColor(position) };
  });
  const bars = rows.map((row) => ({
    name: cellText(row[0] ?? null, columns[0]?.kind ?? "text", zone),
    values: Object.fromEntries(plotted.map((index, position) => [series[position]?.key ?? "", toNumber(row[index])])),
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
  const overTime = table.columns[0]?.kind === "time" && chart !== Chart.HORIZONTAL_BAR;
  const chartData = overTime
    ? { bars: [], ...timeSeries(table) }
    : { points: [], ...categoryBars(table, display.zone) };
  const first = table.rows[0]?.[0] ?? null;
  const headline = typeof first === "number" && chart === Chart.NUMBER ? `${formatDecimal(first)} ${unit}`.trim() : "";
  const summary = headline || `${table.rows.length} rows of ${table.columns.map((column) => column.label).join(", ")}`;
  return {
    data: { chart, unit, table, ...chartData },
    summary: `${summary}.`,
    headline: headline ? [headline] : [],
    table,
    empty: table.rows.length === 0,
    approximate: value.context?.approximate ?? false,
  };
}
