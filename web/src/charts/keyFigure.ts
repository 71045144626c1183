// A result as one figure with its course: what a strip of key figures shows of it.

import { columnsByRole, toInstant, toNumber } from "../frame/columns.ts";
import type { Comparison, Figure, Frame, FrameColumn } from "../frame/frame.ts";
import { figuresOf } from "./bigFigure.ts";

export interface KeyFigure {
  figure: Figure | undefined;
  /** The change of the figure, or of the next one that has one. */
  comparison: Comparison | undefined;
  /** The other figures of the result. */
  others: Figure[];
  spark: SparkPoint[];
}

export interface SparkPoint {
  at: number;
  /** Null is a gap. */
  value: number | null;
}

export function keyFigure(frame: Frame): KeyFigure {
  const [first, ...others] = figuresOf(frame);
  const figure = frame.figures.length > 0 ? first : (totalOf(frame) ?? first);
  const comparison = figure?.comparison ?? others.find((other) => other.comparison)?.comparison;
  return { figure, comparison, others, spark: sparkOf(frame) };
}

/** The sum of the first measure, if its values can be added up. */
function totalOf(frame: Frame): Figure | undefined {
  const { time, measure } = columnsByRole(frame);
  const [column] = measure;
  if (time.length === 0 || !column?.additive) return undefined;
  const value = sum(column);
  const earlier = frame.comparison?.columns.find(({ name }) => name === column.name);
  return {
    label: column.label,
    unit: column.unit,
    value,
    isTime: false,
    ...(earlier && { comparison: compared(value, sum(earlier)) }),
  };
}

const sum = ({ values }: FrameColumn): number =>
  values.reduce<number>((total, value) => total + (toNumber(value) ?? 0), 0);

const compared = (value: number, before: number): Comparison => ({
  label: "before",
  value: before,
  changePct: before === 0 ? null : (100 * (value - before)) / Math.abs(before),
});

/**
 * The first measure over time, without the running bucket, which would always fall to zero. Values of a dimension are added up;
 * if they cannot be, there is no course.
 */
export function sparkOf(frame: Frame): SparkPoint[] {
  const { time, dimension, measure } = columnsByRole(frame);
  const [clock] = time;
  const [column] = measure;
  if (!clock || !column || (clock.type !== "time" && clock.type !== "date")) return [];
  if (dimension.length > 0 && !column.additive) return [];
  const { zone, partialFrom } = frame.context;
  const values = new Map<number, number | null>();
  for (let row = 0; row < frame.rows; row += 1) {
    const at = toInstant(clock.values[row], clock, zone);
    if (at === null || (partialFrom !== null && at >= partialFrom)) continue;
    const value = toNumber(column.values[row]);
    const before = values.get(at) ?? null;
    values.set(at, before !== null && value !== null ? before + value : (value ?? before));
  }
  return [...values].map(([at, value]) => ({ at, value })).sort((a, b) => a.at - b.at);
}

/** So many points are distinguishable on a line that is 180 pixels wide. */
const MAX_POINTS = 120;

/** Lines in a box of `width` by `height`: one per run of neighbouring values. Zero is at the bottom, unless values are negative. */
export function sparkPaths(points: SparkPoint[], width: number, height: number): string[] {
  const step = Math.ceil(points.length / MAX_POINTS);
  const shown = step <= 1 ? points : points.filter((_, index) => index % step === 0 || index === points.length - 1);
  const numbers = shown.flatMap(({ value }) => value ?? []);
  const [start, end] = [shown[0]?.at ?? 0, shown.at(-1)?.at ?? 0];
  if (numbers.length < 2 || end <= start) return [];
  const low = Math.min(0, ...numbers);
  const high = Math.max(0, ...numbers);
  const scale = high > low ? high - low : 1;
  const paths: string[] = [];
  let run = "";
  for (const { at, value } of shown) {
    if (value === null) {
      if (run) paths.push(run);
      run = "";
      continue;
    }
    const x = ((at - start) / (end - start)) * width;
    const y = height - ((value - low) / scale) * height;
    run += `${run ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }
  return run ? [...paths, run] : paths;
}
