// What a chart over time draws, as plain numbers: stacking, scales, the running bucket. Drawing itself is in draw.ts.

import type { Frame } from "../frame/frame.ts";
import type { ComparedPeriod, Series, TimeSeries } from "../frame/timeSeries.ts";
import { comparedSpanWords } from "../frame/words.ts";
import { formatThreshold, formatTicks, formatValue } from "../lib/format.ts";
import { niceScale, type ValueScale } from "../lib/valueTicks.ts";

export type TimeChartKind = "line" | "area" | "stacked" | "bar";

type Values = (number | null)[];

export interface PlotSeries extends Series {
  /** 0: left axis. 1: right axis. */
  axis: 0 | 1;
  shape: "line" | "area" | "bar";
  /** Where the mark begins and ends: the values of the series lie between the two. */
  low: Values;
  high: Values;
  /** The value so far of the running bucket, for counts only: a running mean or ratio would mislead. */
  soFar: { low: number; high: number } | null;
  /** Position among the bars of a bucket, and how many there are. */
  slot: number;
  slots: number;
}

/** A line of the earlier period, up to the running bucket. */
export interface ComparedLine {
  /** That of its series, or "total". */
  key: string;
  color: string;
  unit: string;
  whole: boolean;
  axis: 0 | 1;
  values: Values;
}

export const COMPARED_TOTAL = "total";

export interface PlotAxis {
  unit: string;
  /** Of the measure, if all series of the axis have the same one. */
  scale: ValueScale;
  labels: string[];
}

export interface Plot {
  kind: TimeChartKind;
  /** Domain of the time axis. */
  start: number;
  end: number;
  /** Middles of the buckets, or the times of values without buckets. */
  x: number[];
  times: number[];
  ends: number[];
  partialIndex: number;
  /** Span of the running bucket, or null. */
  running: { start: number; end: number } | null;
  series: PlotSeries[];
  details: Series[];
  compared: { lines: ComparedLine[]; spans: ComparedPeriod["spans"]; label: string } | null;
  axes: PlotAxis[];
  threshold: { value: number; label: string } | null;
}

const TICK_SPACING = 44;

export function toPlot(frame: Frame, data: TimeSeries, kind: TimeChartKind, height: number): Plot {
  const { times, partialIndex } = data;
  const spanEnd = frame.context.end;
  const ends = data.ends.map((end, index) => ((times[index] ?? end) < spanEnd ? Math.min(end, spanEnd) : end));
  const x = times.map((at, index) => (at + (ends[index] ?? at)) / 2);
  const units = [...new Set(data.series.map(({ unit }) => unit))];
  // Two axes are readable. Series of further units go to the tooltip and the table.
  const drawn = data.series.filter(({ unit }) => units.indexOf(unit) < 2);
  const undrawn = data.series.filter(({ unit }) => units.indexOf(unit) >= 2);

  const series = layOut(drawn, units, kind, partialIndex, hasDimension(frame));
  const compared = data.compared
    ? { lines: comparedLines(series, data), spans: data.compared.spans, label: comparedSpanWords(frame) }
    : null;
  const count = Math.max(2, Math.min(6, Math.floor(height / TICK_SPACING)));
  const threshold = frame.threshold === null ? null : { value: frame.threshold, label: thresholdLabel(frame, units) };
  const axes = units.slice(0, 2).map((unit, axis) => {
    const own = series.filter((one) => one.axis === axis);
    let low = axis === 0 ? Math.min(0, threshold?.value ?? 0) : 0;
    let high = axis === 0 ? Math.max(0, threshold?.value ?? 0) : 0;
    const include = (values: Values) => {
      for (const value of values) {
        if (value === null) continue;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    };
    for (const line of compared?.lines ?? []) if (line.axis === axis) include(line.values);
    for (const one of own) {
      include(one.low);
      include(one.high);
      if (one.soFar) {
        low = Math.min(low, one.soFar.low, one.soFar.high);
        high = Math.max(high, one.soFar.low, one.soFar.high);
      }
    }
    const whole = own.every((one) => one.whole) && unit !== "%";
    const scale = niceScale(low, high, count, whole);
    return { unit, scale, labels: formatTicks(scale.ticks, unit) };
  });

  const { start, end } = domain(frame, times, ends);
  const running =
    partialIndex < times.length ? { start: times[partialIndex] ?? end, end: Math.max(end, ends.at(-1) ?? end) } : null;
  return {
    kind,
    start,
    end,
    x,
    times,
    ends,
    partialIndex,
    running,
    series,
    details: [...undrawn, ...data.details],
    compared,
    axes,
    threshold,
  };
}

const isStacked = ({ axis, slots }: PlotSeries): boolean => axis === 0 && slots === 1;

/** One line per series, and one for the total of those that are stacked. */
function comparedLines(series: PlotSeries[], { compared, partialIndex }: TimeSeries): ComparedLine[] {
  const complete = (values: Values) => values.map((value, index) => (index < partialIndex ? value : null));
  const stack = series.filter(isStacked);
  const lines: ComparedLine[] = [];
  const [bottom] = stack;
  if (stack.length > 1 && bottom) {
    const { unit, whole, axis } = bottom;
    const values = compared?.total ?? sumOf(stack.map((one) => one.compared ?? []));
    lines.push({ key: COMPARED_TOTAL, color: "--muted", unit, whole, axis, values: complete(values) });
  }
  for (const one of series) {
    if (!one.compared || (stack.length > 1 && stack.includes(one))) continue;
    const { key, color, unit, whole, axis } = one;
    lines.push({ key, color, unit, whole, axis, values: complete(one.compared) });
  }
  return lines;
}

/** Null where all are. */
function sumOf(columns: Values[]): Values {
  const sums: Values = [];
  for (const values of columns) {
    for (const [index, value] of values.entries()) {
      const before = sums[index] ?? null;
      sums[index] = value === null ? before : (before ?? 0) + value;
    }
  }
  return sums;
}

const hasDimension = (frame: Frame) => frame.columns.some(({ role }) => role === "dimension");

const thresholdLabel = ({ threshold }: Frame, units: string[]): string =>
  `Threshold ${units[0] === "%" ? formatThreshold(threshold ?? 0) : formatValue(threshold ?? 0, units[0] ?? "")}`;

/** The requested span, extended if the panel chooses its own times. */
function domain(frame: Frame, times: number[], ends: number[]): { start: number; end: number } {
  const { start, end } = frame.context;
  const first = times[0];
  if (first === undefined) return { start, end };
  return { start: Math.min(start, first), end: Math.max(end, ends.at(-1) ?? end) };
}

function layOut(series: Series[], units: string[], kind: TimeChartKind, end: number, byValue: boolean): PlotSeries[] {
  const axisOf = (unit: string): 0 | 1 => (units.indexOf(unit) === 1 ? 1 : 0);
  const left = series.filter(({ unit }) => axisOf(unit) === 0);
  // Values that cannot be added up must not be stacked: the top of the stack would mean nothing.
  const additive = left.every((one) => one.additive);
  const stacked = additive && (kind === "stacked" || (kind === "bar" && byValue && left.length > 1));
  const levels = stacked ? stack(left.map(({ values }) => values)) : [];

  return series.map((one): PlotSeries => {
    const axis = axisOf(one.unit);
    const position = left.indexOf(one);
    const level = stacked && axis === 0 ? levels[position] : undefined;
    const low = level?.low ?? one.values.map((value) => (value === null ? null : 0));
    const high = level?.high ?? one.values;
    const shape =
      axis === 1
        ? "line"
        : kind === "bar"
          ? "bar"
          : kind === "line" || (kind === "stacked" && !stacked)
            ? "line"
            : "area";
    const lastHigh = high[end] ?? null;
    const lastLow = low[end] ?? null;
    const soFar = one.additive && lastHigh !== null && lastLow !== null ? { low: lastLow, high: lastHigh } : null;
    const complete = (values: Values) => values.map((value, index) => (index < end ? value : null));
    return {
      ...one,
      axis,
      shape,
      low: complete(low),
      high: complete(high),
      soFar,
      slot: stacked ? 0 : Math.max(0, position),
      slots: stacked ? 1 : Math.max(1, left.length),
    };
  });
}

/** Positive values on top of each other, negative ones below zero. A bucket without any value stays a gap. */
export function stack(columns: Values[]): { low: Values; high: Values }[] {
  const length = columns[0]?.length ?? 0;
  const above = new Array<number>(length).fill(0);
  const below = new Array<number>(length).fill(0);
  const present = Array.from({ length }, (_, i) => columns.some((values) => (values[i] ?? null) !== null));
  return columns.map((values) => {
    const low: Values = [];
    const high: Values = [];
    for (let i = 0; i < length; i += 1) {
      if (!present[i]) {
        low.push(null);
        high.push(null);
        continue;
      }
      const value = values[i] ?? 0;
      const side = value < 0 ? below : above;
      const base = side[i] ?? 0;
      side[i] = base + value;
      low.push(base);
      high.push(base + value);
    }
    return { low, high };
  });
}
