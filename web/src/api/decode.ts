// From the messages of the contract to the page's own types.

import type { BrokenPanelInfo, Catalog, ChartKind, Dimension, PanelInfo } from "../frame/catalog.ts";
import type { Cell, ColumnType, Comparison, Figure, Frame, FrameColumn, FrameContext, Role } from "../frame/frame.ts";
import {
  Chart,
  ColumnRole,
  type Comparison as ComparisonMessage,
  type Figure as FigureMessage,
  type FrameColumn as FrameColumnMessage,
  type Frame as FrameMessage,
  type ListPanelsResponse,
  type Panel as PanelMessage,
  PanelSize,
} from "../gen/millrace/v1/dashboard_pb.ts";
import type { DataSource, PanelContext } from "../gen/millrace/v1/range_pb.ts";
import { durationMs, timestampMs } from "./time.ts";

/** A number if it has every digit, else a bigint. */
function integer(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Numbers, unless one of them would lose digits: then all are bigints, so that a column has one type. */
function integers(values: bigint[]): (number | bigint)[] {
  const numbers = values.map(Number);
  return numbers.every(Number.isSafeInteger) ? numbers : values;
}

/** ClickHouse divides zero by zero to NaN: there is no value. */
export const float = (value: number | undefined): number | null =>
  value === undefined || Number.isNaN(value) ? null : value;

const ROLES: Record<ColumnRole, Role> = {
  [ColumnRole.UNSPECIFIED]: "detail",
  [ColumnRole.TIME]: "time",
  [ColumnRole.DIMENSION]: "dimension",
  [ColumnRole.MEASURE]: "measure",
  [ColumnRole.DETAIL]: "detail",
  [ColumnRole.HIDDEN]: "hidden",
};

function columnValues({ values }: FrameColumnMessage): { type: ColumnType; values: Cell[] } {
  switch (values.case) {
    case "int64Values":
    case "uint64Values":
      return { type: "int", values: integers(values.value.values) };
    case "doubleValues":
      return { type: "float", values: values.value.values.map(float) };
    case "boolValues":
      return { type: "bool", values: [...values.value.values] };
    case "timestampValues":
      return { type: "time", values: values.value.values.map(Number) };
    case "dateValues":
      return { type: "date", values: values.value.values.map(Number) };
    case "stringValues":
      return { type: "text", values: [...values.value.values] };
    case undefined:
      return { type: "text", values: [] };
  }
}

function decodeColumn(message: FrameColumnMessage, rows: number): FrameColumn {
  const { type, values } = columnValues(message);
  if (values.length !== rows) {
    throw new Error(`column ${message.name} has ${values.length} values for ${rows} rows`);
  }
  for (const row of message.nulls) values[row] = null;
  const { name, label, unit, additive } = message;
  return { name, label: label || name, type, role: ROLES[message.role] ?? "detail", unit, additive, values };
}

function decodeComparison({ label, value, changePct }: ComparisonMessage): Comparison {
  const number = typeof value.value === "bigint" ? integer(value.value) : float(value.value);
  return { label, value: number, changePct: float(changePct) };
}

function figureValue({ value }: FigureMessage): Cell {
  switch (value.case) {
    case "int64Value":
    case "uint64Value":
      return integer(value.value);
    case "doubleValue":
      return float(value.value);
    case "timestampValue":
      return timestampMs(value.value);
    case "stringValue":
      return value.value;
    case undefined:
      return null;
  }
}

function decodeFigure(message: FigureMessage): Figure {
  const { label, unit, comparison } = message;
  const figure: Figure = {
    label,
    unit,
    value: figureValue(message),
    isTime: message.value.case === "timestampValue",
  };
  if (comparison) figure.comparison = decodeComparison(comparison);
  return figure;
}

const SOURCES: Partial<Record<number, FrameContext["source"]>> = {
  [1 satisfies DataSource.ROLLUP]: "rollup",
  [2 satisfies DataSource.EVENTS]: "events",
};

export function decodeContext(context: PanelContext | undefined): FrameContext {
  if (!context?.rangeStart || !context.rangeEnd || !context.computedAt) {
    throw new Error("the frame does not say what it was computed for");
  }
  const { source, requestedStart } = context;
  return {
    start: timestampMs(context.rangeStart),
    end: timestampMs(context.rangeEnd),
    zone: context.timeZone,
    computedAt: timestampMs(context.computedAt),
    approximate: context.approximate,
    partialFrom: context.partialFrom ? timestampMs(context.partialFrom) : null,
    bucketSeconds: context.bucketSeconds || null,
    span: context.span,
    ...(SOURCES[source] && { source: SOURCES[source] }),
    ...(requestedStart && { requestedStart: timestampMs(requestedStart) }),
  };
}

/** Throws if the frame violates the contract. */
export const decodeFrame = (message: FrameMessage): Frame => ({
  columns: message.columns.map((column) => decodeColumn(column, message.rows)),
  rows: message.rows,
  figures: message.figures.map(decodeFigure),
  threshold: message.threshold ?? null,
  context: decodeContext(message.context),
  ...(message.comparison && { comparison: decodeFrame(message.comparison) }),
});

/** A chart that this page does not know is shown as a table. */
const CHARTS: Record<Chart, ChartKind> = {
  [Chart.UNSPECIFIED]: "table",
  [Chart.NUMBER]: "number",
  [Chart.LINE]: "line",
  [Chart.BAR]: "bar",
  [Chart.HORIZONTAL_BAR]: "horizontal-bar",
  [Chart.TABLE]: "table",
  [Chart.AREA]: "area",
  [Chart.STACKED]: "stacked",
};

const SIZES: Record<PanelSize, PanelInfo["size"]> = {
  [PanelSize.UNSPECIFIED]: "medium",
  [PanelSize.SMALL]: "small",
  [PanelSize.MEDIUM]: "medium",
  [PanelSize.LARGE]: "large",
};

function decodePanel(panel: PanelMessage): PanelInfo {
  const { name, title, description, unit, sql, builtIn, refresh, spec, parameters, filterable, comparable } = panel;
  return {
    name,
    title: title || name,
    description,
    unit,
    chart: CHARTS[panel.chart] ?? "table",
    order: spec?.order ?? 1000,
    size: spec ? (SIZES[spec.size] ?? "medium") : "medium",
    top: spec?.top || 10,
    events: spec ? [...spec.events] : [],
    sql,
    refreshSeconds: refresh ? durationMs(refresh) / 1000 : 0,
    builtIn,
    ...(parameters.length > 0 && {
      parameters: parameters.map(({ name, type, defaultValue, description }) => ({
        name,
        type,
        defaultValue,
        description,
      })),
    }),
    filterable,
    comparable,
  };
}

export const decodeCatalog = (response: ListPanelsResponse): Catalog => ({
  panels: response.panels.map(decodePanel),
  broken: response.broken.map(({ file, line, message }): BrokenPanelInfo => ({ file, line, message })),
  version: response.version,
  hasEvents: response.hasEvents,
  dimensions: response.dimensions.map(({ name, events }): Dimension => ({ name, events })),
  eventsRetentionDays: response.eventsRetentionDays,
  rollupRetentionDays: response.rollupRetentionDays,
});
