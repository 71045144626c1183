// What the tooltip and the screen reader say about one point of a chart over time.

import type { FrameContext } from "../frame/frame.ts";
import type { Series } from "../frame/timeSeries.ts";
import { formatFixed, formatSum, isInlineUnit } from "../lib/format.ts";
import { formatClock, formatInstant, formatSpan } from "../lib/time.ts";
import { COMPARED_TOTAL, type Plot } from "./plot.ts";

export interface PointLine {
  key: string;
  label: string;
  /** Absent for details, which are not drawn. */
  color?: string;
  dash?: number;
  value: string;
  /** Of the total, if the values are stacked. */
  share: string;
  /** The value of the earlier period. Empty if there is none. */
  compared: string;
}

export interface PointText {
  title: string;
  lines: PointLine[];
  total: string;
  comparedTotal: string;
  /** The time of the earlier values. Empty if there are none. */
  comparedTitle: string;
  /** Set in the running bucket: until when the values count. */
  soFar: string;
}

/** The point at an instant, given the nearest one: null outside of its bucket, so that a gap has no values. */
export function pointAt({ times, ends }: Plot, nearest: number | null | undefined, at: number): number | null {
  const from = times[nearest ?? -1];
  const to = ends[nearest ?? -1];
  if (from === undefined || to === undefined || nearest === null || nearest === undefined) return null;
  return from === to || (at >= from && at <= to) ? nearest : null;
}

export function pointText(plot: Plot, index: number, context: FrameContext): PointText {
  const { zone, computedAt } = context;
  const from = plot.times[index] ?? 0;
  const to = plot.ends[index] ?? from;
  const running = index >= plot.partialIndex;
  const title = spanText(from, to, zone, computedAt);

  const stacked = plot.series.filter(({ slots, axis }) => slots === 1 && axis === 0);
  const isStacked = stacked.length > 1;
  const total = isStacked ? stacked.reduce((sum, { values }) => sum + (values[index] ?? 0), 0) : 0;
  const share = (series: Series) => {
    const value = series.values[index] ?? null;
    return isStacked && total > 0 && value !== null && value >= 0 && stacked.some(({ key }) => key === series.key)
      ? `${formatFixed((100 * value) / total, 1)}%`
      : "";
  };
  const span = plot.compared?.spans[index] ?? null;
  const earlier = (key: string): string => {
    const found = plot.compared?.lines.find((one) => one.key === key);
    return found && span && !running ? valueText(found, found.values[index] ?? null) : "";
  };
  const line = (series: Series) => ({
    key: series.key,
    label: series.label,
    value: valueText(series, series.values[index] ?? null),
    share: share(series),
    compared: earlier(series.key),
  });

  const drawn = plot.series.map((series) => ({ ...line(series), color: series.color, dash: series.dash }));
  return {
    title,
    // From top to bottom, as drawn: a stack is built from below.
    lines: [
      ...(isStacked ? drawn.reverse() : plot.kind === "bar" ? drawn : byHeight(drawn, plot, index)),
      ...plot.details.map(line),
    ],
    total: isStacked ? formatSum(total, stacked[0]?.unit ?? "") : "",
    comparedTotal: isStacked ? earlier(COMPARED_TOTAL) : "",
    comparedTitle: span && !running ? spanText(...span, zone, computedAt) : "",
    soFar: running ? `so far, as of ${formatClock(Math.floor(computedAt / 1000) * 1000, zone)}` : "",
  };
}

const spanText = (from: number, to: number, zone: string, now: number): string =>
  to > from ? formatSpan(from, to, zone, now) : formatInstant(from, zone, now);

const byHeight = (lines: PointLine[], { series }: Plot, index: number): PointLine[] => {
  const height = new Map(series.map(({ key, values }) => [key, values[index] ?? Number.NEGATIVE_INFINITY]));
  return lines.sort((a, b) => (height.get(b.key) ?? 0) - (height.get(a.key) ?? 0));
};

function valueText({ unit, whole }: Pick<Series, "unit" | "whole">, value: number | null): string {
  if (value === null) return "no data";
  const text = formatSum(value, unit, whole && unit !== "%" ? 0 : undefined);
  return unit && !isInlineUnit(unit) ? `${text}\u00a0${unit}` : text;
}

/** The point as a sentence. */
export function pointWords({ title, lines, total, soFar, comparedTitle, comparedTotal }: PointText): string {
  const parts = lines.map(({ label, value, share }) => `${label} ${value}${share ? ` (${share})` : ""}`);
  if (total) parts.push(`total ${total}`);
  const earlier = lines.filter(({ compared }) => compared).map(({ label, compared }) => `${label} ${compared}`);
  if (comparedTotal) earlier.push(`total ${comparedTotal}`);
  const text = `${title}${soFar ? `, ${soFar}` : ""}: ${parts.join(", ")}`;
  return earlier.length > 0 ? `${text}; ${comparedTitle}: ${earlier.join(", ")}` : text;
}
