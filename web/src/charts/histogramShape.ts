// How long conversions took, as bars over intervals of equal length.

import type { TimeToConvert } from "../frame/detail.ts";
import { formatDuration } from "../lib/format.ts";

export interface HistogramBar {
  from: number;
  to: number;
  /** "0 to 30 s". */
  label: string;
  count: number;
  /** In percent of the highest. */
  height: number;
  /** In percent of all. */
  pct: number;
}

export interface HistogramShape {
  bars: HistogramBar[];
  /** Labels of the time axis, at positions in percent. */
  ticks: { at: number; label: string }[];
  /** Where a duration is on the axis, in percent. Undefined if it is beyond it. */
  position: (ms: number | null) => number | undefined;
  total: number;
}

/** "2 min 0 s" as "2 min". */
export const shortDuration = (ms: number): string =>
  formatDuration(ms)
    .replace(/\.0(?=\s)/, "")
    .replace(/(?<=\D)\s0\s(s|min|h)$/, "");

export function toHistogram({ histogram, intervalMs }: TimeToConvert): HistogramShape {
  const highest = Math.max(0, ...histogram);
  const total = histogram.reduce((sum, count) => sum + count, 0);
  const end = histogram.length * intervalMs;
  const bars = histogram.map((count, index): HistogramBar => {
    const [from, to] = [index * intervalMs, (index + 1) * intervalMs];
    return {
      from,
      to,
      label: `${from === 0 ? "0" : shortDuration(from)} to ${shortDuration(to)}`,
      count,
      height: highest > 0 ? (100 * count) / highest : 0,
      pct: total > 0 ? (100 * count) / total : 0,
    };
  });
  const step = Math.max(1, Math.ceil(histogram.length / 4));
  const ticks = [];
  for (let index = 0; index <= histogram.length; index += step) {
    const ms = index * intervalMs;
    ticks.push({ at: end > 0 ? (100 * ms) / end : 0, label: ms === 0 ? "0" : shortDuration(ms) });
  }
  return {
    bars,
    ticks,
    position: (ms) => (ms === null || end === 0 || ms > end ? undefined : (100 * ms) / end),
    total,
  };
}
