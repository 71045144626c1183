import type { GetErrorRateResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { count, percent, roundPercent } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import { RANGE_NAMES } from "../lib/time.ts";
import type { Display, Shaped } from "./panel.ts";
import { millis, type Point } from "./points.ts";

export interface ErrorRate {
  /** Over the whole range, in percent. */
  rate: number;
  errors: number;
  events: number;
  threshold: number;
  /** In how many buckets the rate was above the threshold. */
  above: number;
  points: Point[];
}

export function shapeErrorRate(value: GetErrorRateResponse, { range }: Display): Shaped<ErrorRate> {
  const points = value.points.map((point) => ({
    at: millis(point.bucket),
    incomplete: point.incomplete,
    figures: { rate: point.errorRatePct, errors: Number(point.errors), events: Number(point.events) },
  }));
  const errors = points.reduce((sum, point) => sum + point.figures.errors, 0);
  const events = points.reduce((sum, point) => sum + point.figures.events, 0);
  const rate = events === 0 ? 0 : (100 * errors) / events;
  const threshold = value.thresholdPct;
  const above = points.filter((point) => point.figures.rate > threshold).length;
  const totals = `${count(errors)} errors in ${count(events)} events`;
  return {
    data: { rate, errors, events, threshold, above, points },
    summary:
      `Error rate ${percent(rate)} over the ${RANGE_NAMES[range]}: ${totals}. ` +
      `Above the threshold of ${roundPercent(threshold)} in ${above} of ${points.length} buckets.`,
    headline: [`${percent(rate)}, threshold ${roundPercent(threshold)}`, totals],
    table: {
      columns: [
        column("bucket", "From", "time"),
        column("error_rate_pct", "Error rate", "percent"),
        column("errors", "Errors", "count"),
        column("events", "Events", "count"),
        column("incomplete", "Still running", "flag"),
      ],
      rows: points.map(({ at, incomplete, figures }) => [at, figures.rate, figures.errors, figures.events, incomplete]),
    },
    empty: events === 0,
    approximate: false,
  };
}
