// What a chart over time draws, as plain numbers: stacking, scales, the running bucket. Drawing itself is in draw.ts.

import type { Frame } from "../frame/frame.ts";
import type { Series, TimeSeries } from "../frame/timeSeries.ts";
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
  const count = Math.max(2, Math.min(6, Math.floor(height / TICK_SPACING)));
  const threshold = frame.threshold === null ? null : { value: frame.threshold, label: thresholdLabel(frame, units) };
  const axes = units.slice(0, 2).map((unit, axis) => {
    const own = series.filter((one) => one.axis === axis);
    let low = axis === 0 ? Math.min(0, threshold?.value ?? 0) : 0;
    let high = axis === 0 ? Math.max(0, threshold?.value ?? 0) : 0;
    for (const one of own) {
      for (const values of [one.low, one.high]) {
        for (const value of values) {
          if (value === null) continue;
          if (value < low) low = value;
          if (value > high) high = value;
        }
      }
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
    axes,
    threshold,
  };
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
