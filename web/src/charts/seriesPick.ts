// Points of a chart over time as figures of a question, whose people can be listed.

import { columnsByRole, valueKey } from "../frame/columns.ts";
import type { Frame } from "../frame/frame.ts";
import type { Pick } from "../frame/pick.ts";

/** Identifies the series that the row belongs to, as in toTimeSeries. */
function keyOfRow(frame: Frame, row: number): string {
  const { dimension } = columnsByRole(frame);
  return dimension.map(({ values }) => valueKey(values[row])).join("\x1f");
}

/** What a point of a series counts. Undefined for a panel, and for the sum of series without lines of their own. */
export function seriesPick(frame: Frame, key: string, at: number): Pick | undefined {
  const { detail } = frame;
  if (detail?.kind === "trend") {
    const { lines, fields } = detail;
    // Without a breakdown each line is a column, else each bucket has one row per line.
    const index = lines.findIndex((_, line) => (fields.length === 0 ? `line_${line}` : keyOfRow(frame, line)) === key);
    const line = lines[index];
    if (!line || !detail.buckets.includes(at)) return undefined;
    const { series, breakdown, isOther } = line;
    return { kind: "trend", series, breakdown, isOther, bucket: at };
  }
  if (detail?.kind === "funnel") {
    const { steps, breakdown, overall } = detail;
    const value = breakdown.find((each) => each.value === key);
    if (!(value ?? overall).trend.some((point) => point.at === at)) return undefined;
    return { kind: "funnel", step: steps.length, dropped: false, bucket: at, breakdown: value?.value };
  }
  return undefined;
}

/** The series whose mark is nearest to a height. `heightOf`: where a value is drawn. */
export function nearestSeries<S extends { high: (number | null)[] }>(
  series: S[],
  index: number,
  top: number,
  heightOf: (value: number, series: S) => number,
): S | undefined {
  let nearest: S | undefined;
  let smallest = Number.POSITIVE_INFINITY;
  for (const each of series) {
    const value = each.high[index];
    if (value === null || value === undefined) continue;
    const distance = Math.abs(heightOf(value, each) - top);
    if (distance < smallest) [smallest, nearest] = [distance, each];
  }
  return nearest;
}
