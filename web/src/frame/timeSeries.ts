// A frame with a time column as series over common times.

import { formatCount } from "../lib/format.ts";
import { DAY, fromWallClock, toWallClock } from "../lib/time.ts";
import { dimensionLabel } from "./cellText.ts";
import { colorByPosition, colorsByValue, dashByPosition, dashesByValue, OTHER_COLOR } from "./colors.ts";
import { columnsByRole, type DimensionValue, REST_VALUE, toInstant, toNumber, valueKey } from "./columns.ts";
import { correspondingIndex } from "./compared.ts";
import type { Frame, FrameColumn } from "./frame.ts";

export interface Series {
  key: string;
  label: string;
  /** A CSS variable. */
  color: string;
  /** Of series with the same colour: 0 is a solid line. */
  dash: number;
  unit: string;
  additive: boolean;
  /** Whether all values are whole numbers. */
  whole: boolean;
  /** One per time. Null is a gap, not a zero. */
  values: (number | null)[];
  /** The values of the earlier period, if there is one. */
  compared?: (number | null)[];
  /** Which value of a dimension it is. */
  value?: DimensionValue;
}

export interface TimeSeries {
  /** Starts of the buckets, ascending, without duplicates: Unix milliseconds. Missing buckets are present. */
  times: number[];
  /** Ends of the buckets; equal to `times` if the times are not those of buckets. */
  ends: number[];
  /** The nominal width of the buckets, or else the most common step between them. Null if the times are irregular. */
  interval: number | null;
  /** Drawn, the largest first if they are values of a dimension. */
  series: Series[];
  /** Shown in the tooltip only. Only without a dimension. */
  details: Series[];
  /** Index of the running bucket, or the number of times. */
  partialIndex: number;
  /** How many values of the dimension are added up as "Other", or not drawn if they cannot be added. */
  others: { count: number; drawn: boolean };
  /** The period that the series are compared with. */
  compared?: ComparedPeriod;
}

export interface ComparedPeriod {
  /** Starts and ends of the buckets that correspond to `times`. Null where there is none. */
  spans: ([start: number, end: number] | null)[];
  /** The sum of all values of the dimension, also of those that occur in the earlier period only. */
  total?: (number | null)[];
}

export interface TimeSeriesOptions {
  /** How many values of a dimension are drawn. */
  top: number;
}

/** More rows would not be distinguishable anyway, and a gap needs only one null. */
const MAX_FILLED = 5000;

export const OTHER_KEY = "\0other";

export function toTimeSeries(frame: Frame, { top }: TimeSeriesOptions): TimeSeries | null {
  const { time, dimension, measure, detail } = columnsByRole(frame);
  const clock = time[0];
  if (!clock || measure.length === 0) return null;
  const { zone } = frame.context;
  const cells = Array.from({ length: frame.rows }, (_, row) => toNumber(clock.values[row]));
  const present = [...new Set(cells.filter((cell) => cell !== null))].sort((a, b) => a - b);
  const step = bucketStep(frame, clock) ?? commonInterval(present);
  // Dates are compared as days, because the lengths of days in hours differ. Missing days start at midnight for that reason.
  const onClock = step !== null && clock.type !== "date" && step % DAY === 0;
  const filled =
    step === null
      ? present
      : onClock
        ? fillGaps(
            present.map((at) => toWallClock(at, zone)),
            step,
          ).map((wall) => fromWallClock(wall, zone))
        : fillGaps(present, step);
  const indexOf = new Map(filled.map((cell, index) => [cell, index]));
  const rowIndex = cells.map((cell) => (cell === null ? -1 : (indexOf.get(cell) ?? -1)));
  const times = filled.map((cell) => toInstant(cell, clock, zone) ?? cell);
  const interval = step !== null && clock.type === "date" ? step * DAY : step;
  const rows: Rows = { index: rowIndex, length: times.length };
  const earlier = earlierRows(frame, times, interval);

  const base: Omit<TimeSeries, "series" | "details" | "others"> = {
    times,
    ends: bucketEnds(times, interval, zone),
    interval,
    partialIndex: partialIndex(frame, times),
  };
  if (earlier) base.compared = { spans: earlier.spans };
  if (dimension.length === 0) {
    const read = (column: FrameColumn, position: number): Series => {
      const compared = earlier?.frame.columns.find(({ name }) => name === column.name);
      return {
        ...describe(column, column.label, column.name, colorByPosition(position), dashByPosition(position)),
        values: collect(column, rows),
        ...(earlier && compared && { compared: collect(compared, earlier) }),
      };
    };
    const series = measure.map(read);
    return { ...base, series, details: detail.filter(isDrawable).map(read), others: { count: 0, drawn: false } };
  }
  const byValue = seriesByValue(frame, dimension, measure, rows, top, earlier);
  const [first] = measure;
  const comparedMeasure = earlier?.frame.columns.find(({ name }) => name === first?.name);
  if (base.compared && earlier && first?.additive && comparedMeasure) {
    base.compared.total = collect(comparedMeasure, earlier);
  }
  return { ...base, details: [], ...byValue };
}

/** Where the rows of a frame are on the time axis. */
interface Rows {
  /** For each row the index of its bucket, or -1. */
  index: number[];
  /** Number of buckets. */
  length: number;
}

interface EarlierRows extends Rows {
  frame: Frame;
  spans: ComparedPeriod["spans"];
}

/** The rows of the earlier period, at the buckets of this one. */
function earlierRows(frame: Frame, times: number[], interval: number | null): EarlierRows | undefined {
  const earlier = frame.comparison;
  const clock = earlier && columnsByRole(earlier).time[0];
  if (!clock) return undefined;
  const { zone, end } = earlier.context;
  const instants = Array.from({ length: earlier.rows }, (_, row) => toInstant(clock.values[row], clock, zone));
  const position = correspondingIndex(times, interval, frame, earlier);
  const index = instants.map((at) => (at === null ? -1 : position(at)));
  const starts = [...new Set(instants.filter((at) => at !== null))].sort((a, b) => a - b);
  const ends = bucketEnds(starts, interval, zone);
  const spans: ComparedPeriod["spans"] = times.map(() => null);
  for (const [i, start] of starts.entries()) {
    const at = position(start);
    if (at >= 0) spans[at] = [start, Math.max(start, Math.min(ends[i] ?? start, end))];
  }
  return { frame: earlier, index, length: times.length, spans };
}

/** The nominal width of a bucket, in the unit of the column. The steps do not show it: the first bucket may be cut. */
function bucketStep({ context: { bucketSeconds } }: Frame, clock: FrameColumn): number | null {
  if (bucketSeconds === null) return null;
  const width = bucketSeconds * 1000;
  if (clock.type !== "date") return width;
  return width % DAY === 0 ? width / DAY : null;
}

const isDrawable = ({ type }: FrameColumn) => type === "int" || type === "float";

function describe(column: FrameColumn, label: string, key: string, color: string, dash = 0) {
  const whole = column.type === "int" || column.values.every((v) => typeof v !== "number" || Number.isInteger(v));
  return { key, label, color, dash, unit: column.unit, additive: column.additive, whole };
}

/** Values of the same bucket are added up if they can be; otherwise the last one counts. */
function collect(column: FrameColumn, { index: rowIndex, length }: Rows, rows?: number[]): (number | null)[] {
  const values: (number | null)[] = new Array(length).fill(null);
  const add = (row: number) => {
    const index = rowIndex[row] ?? -1;
    const value = toNumber(column.values[row]);
    if (index < 0 || value === null) return;
    const before = values[index] ?? null;
    values[index] = before !== null && column.additive ? before + value : value;
  };
  if (rows) for (const row of rows) add(row);
  else for (let row = 0; row < rowIndex.length; row += 1) add(row);
  return values;
}

/** The rows of each value of the dimensions. */
function groupRows(frame: Frame, dimensions: FrameColumn[]): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  const [only] = dimensions;
  for (let row = 0; row < frame.rows; row += 1) {
    const key =
      dimensions.length === 1
        ? valueKey(only?.values[row])
        : dimensions.map((column) => valueKey(column.values[row])).join("\x1f");
    const rows = groups.get(key);
    if (rows) rows.push(row);
    else groups.set(key, [row]);
  }
  return groups;
}

function seriesByValue(
  frame: Frame,
  dimensions: FrameColumn[],
  measures: FrameColumn[],
  rows: Rows,
  top: number,
  earlier: EarlierRows | undefined,
): Pick<TimeSeries, "series" | "others"> {
  const groups = groupRows(frame, dimensions);
  const earlierGroups = earlier && groupRows(earlier.frame, columnsByRole(earlier.frame).dimension);
  const [first] = measures;
  const weight = new Map([...groups].map(([key, rows]) => [key, first ? rankingWeight(first, rows) : 0]));
  const ranked = [...groups.keys()].sort((a, b) => (weight.get(b) ?? 0) - (weight.get(a) ?? 0) || (a < b ? -1 : 1));
  const shown = ranked.slice(0, top);
  const rest = ranked.slice(top);
  const colors = colorsByValue(shown.filter((key) => key !== REST_VALUE));
  const dashes = dashesByValue(colors);
  const [dimension] = dimensions;
  const filterable = dimensions.length === 1 && dimension?.type === "text";

  const series: Series[] = [];
  for (const measure of measures) {
    const suffix = measures.length > 1 ? ` · ${measure.label}` : "";
    const compared = earlier?.frame.columns.find(({ name }) => name === measure.name);
    for (const key of shown) {
      const own = groups.get(key) ?? [];
      const label = dimensions
        .map((column) => dimensionLabel(column.values[own[0] ?? 0], column, frame.context))
        .join(" · ");
      const id = suffix ? `${key}\x1e${measure.name}` : key;
      series.push({
        ...describe(measure, label + suffix, id, colors.get(key) ?? OTHER_COLOR, dashes.get(key)),
        values: collect(measure, rows, own),
        ...(earlier && compared && { compared: collect(compared, earlier, earlierGroups?.get(key) ?? []) }),
        ...(filterable && { value: { dimension: dimension.name, cell: dimension.values[own[0] ?? 0] ?? null } }),
      });
    }
    if (rest.length > 0 && measure.additive) {
      series.push({
        ...describe(
          measure,
          `Other (${formatCount(rest.length)})${suffix}`,
          OTHER_KEY + suffix,
          OTHER_COLOR,
          Number(shown.includes(REST_VALUE)),
        ),
        values: collect(
          measure,
          rows,
          rest.flatMap((key) => groups.get(key) ?? []),
        ),
      });
    }
  }
  return { series, others: { count: rest.length, drawn: measures.every(({ additive }) => additive) } };
}

/** What ranks a value: its sum, or its mean if values cannot be added. */
function rankingWeight(column: FrameColumn, rows: number[]): number {
  let sum = 0;
  let count = 0;
  for (const row of rows) {
    const value = toNumber(column.values[row]);
    if (value === null) continue;
    sum += Math.abs(value);
    count += 1;
  }
  return column.additive || count === 0 ? sum : sum / count;
}

/** The step that at least half of the neighbours have, or null. */
export function commonInterval(times: number[]): number | null {
  if (times.length < 2) return null;
  const counts = new Map<number, number>();
  let common = 0;
  for (let i = 1; i < times.length; i += 1) {
    const step = (times[i] ?? 0) - (times[i - 1] ?? 0);
    const count = (counts.get(step) ?? 0) + 1;
    counts.set(step, count);
    if (count > (counts.get(common) ?? 0) || (count === counts.get(common) && step < common)) common = step;
  }
  return (counts.get(common) ?? 0) * 2 >= times.length - 1 ? common : null;
}

/** Adds the buckets that are missing. A step of up to 1.5 intervals is no gap: days have 23 to 25 hours. */
export function fillGaps(times: number[], interval: number): number[] {
  const filled: number[] = [];
  let budget = MAX_FILLED;
  for (const [index, at] of times.entries()) {
    const before = times[index - 1];
    if (before !== undefined && at - before > interval * 1.5) {
      const missing = Math.round((at - before) / interval) - 1;
      const added = missing <= budget ? missing : 1;
      for (let i = 1; i <= added; i += 1) filled.push(before + i * interval);
      budget -= added;
    }
    filled.push(at);
  }
  return filled;
}

function bucketEnds(times: number[], interval: number | null, zone: string): number[] {
  if (interval === null) return times;
  // A day ends at midnight, also if it has 23 or 25 hours.
  const end = (at: number) =>
    interval % DAY === 0 ? fromWallClock(toWallClock(at, zone) + interval, zone) : at + interval;
  return times.map((at, index) => {
    const next = times[index + 1];
    return next !== undefined && next - at <= interval * 1.5 ? next : end(at);
  });
}

function partialIndex({ context: { partialFrom } }: Frame, times: number[]): number {
  if (partialFrom === null) return times.length;
  const index = times.findIndex((at) => at >= partialFrom);
  return index < 0 ? times.length : index;
}
