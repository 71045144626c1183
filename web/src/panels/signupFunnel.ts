import type { GetSignupFunnelResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { count, percent } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import { RANGE_NAMES } from "../lib/time.ts";
import type { Display, Shaped } from "./panel.ts";
import { millis, type Point } from "./points.ts";

export interface SignupFunnel {
  started: number;
  completed: number;
  /** In percent; none where nothing was started. */
  conversion: number | null;
  points: Point[];
}

export function shapeSignupFunnel(value: GetSignupFunnelResponse, { range }: Display): Shaped<SignupFunnel> {
  const points = value.buckets.map((bucket) => ({
    at: millis(bucket.bucket),
    incomplete: bucket.incomplete,
    figures: {
      started: Number(bucket.started),
      completed: Number(bucket.completed),
      conversion: bucket.conversionPct ?? null,
    },
  }));
  const started = Number(value.started);
  const completed = Number(value.completed);
  const conversion = value.conversionPct ?? null;
  const rate = conversion === null ? "no rate yet" : `${percent(conversion)} conversion`;
  const totals = `${count(started)} started, ${count(completed)} completed`;
  return {
    data: { started, completed, conversion, points },
    summary: `Sign-ups in the ${RANGE_NAMES[range]}: ${totals}, ${rate}.`,
    headline: [rate, totals],
    table: {
      columns: [
        column("bucket", "From", "time"),
        column("started", "Started", "count"),
        column("completed", "Completed", "count"),
        column("conversion_pct", "Conversion", "percent"),
        column("incomplete", "Still running", "flag"),
      ],
      rows: points.map(({ at, incomplete, figures }) => [
        at,
        figures.started,
        figures.completed,
        figures.conversion,
        incomplete,
      ]),
    },
    empty: started === 0 && completed === 0,
    approximate: false,
  };
}
