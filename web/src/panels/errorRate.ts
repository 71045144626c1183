import type { GetErrorRateResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatCount, formatPercent, formatThreshold } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import { RANGE_LABELS } from "../lib/time.ts";
import type { Display, ShapedPanel } from "./panel.ts";
import { type Point, toMillis } from "./points.ts";

export interface ErrorRate {
  /** Of the whole range, in percent. */
  rate: number;
  errors: number;
  events: number;
  threshold: number;
  /** Number of buckets above the threshold. */
  bucketsAbove: number;
  points: Point[];
}

export function shapeErrorRate(value: GetErrorRateResponse, { range }: Display): ShapedPanel<ErrorRate> {
  const points = value.points.map((point) => ({
    at: toMillis(point.bucket),
    incomplete: point.incomplete,
    values: { rate: point.errorRatePct, errors: Number(point.errors), events: Number(point.events) },
  }));
  const errors = points.reduce((sum, point) => sum + point.values.errors, 0);
  const events = points.reduce((sum, point) => sum + point.values.events, 0);
  const rate = events === 0 ? 0 : (100 * errors) / events;
  const threshold = value.thresholdPct;
  const bucketsAbove = points.filter((point) => point.values.rate > threshold).length;
  const totals = `${formatCount(errors)} errors in ${formatCount(events)} events`;
  return {
    data: { rate, errors, events, threshold, bucketsAbove, points },
    summary:
      `Error rate ${formatPercent(rate)} over the ${RANGE_LABELS[range]}: ${totals}. ` +
      `Above the threshold of ${formatThreshold(threshold)} in ${bucketsAbove} of ${points.length} buckets.`,
    headline: [`${formatPercent(rate)}, threshold ${formatThreshold(threshold)}`, totals],
    table: {
      columns: [
        column("bucket", "From", "time"),
        column("error_rate_pct", "Error rate", "percent"),
        column("errors", "Errors", "count"),
        column("events", "Events", "count"),
        column("incomplete", "Incomplete", "flag"),
      ],
      rows: points.map(({ at, incomplete, values }) => [at, values.rate, values.errors, values.events, incomplete]),
    },
    empty: events === 0,
    approximate: false,
  };
}
