import type { GetSignupFunnelResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatCount, formatPercent } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import { RANGE_LABELS } from "../lib/time.ts";
import type { Display, ShapedPanel } from "./panel.ts";
import { type Point, toMillis } from "./points.ts";

export interface SignupFunnel {
  started: number;
  completed: number;
  /** In percent. Null if no sign-up was started. */
  conversion: number | null;
  points: Point[];
}

export function shapeSignupFunnel(value: GetSignupFunnelResponse, { range }: Display): ShapedPanel<SignupFunnel> {
  const points = value.buckets.map((bucket) => ({
    at: toMillis(bucket.bucket),
    incomplete: bucket.incomplete,
    values: {
      started: Number(bucket.started),
      completed: Number(bucket.completed),
      conversion: bucket.conversionPct ?? null,
    },
  }));
  const started = Number(value.started);
  const completed = Number(value.completed);
  const conversion = value.conversionPct ?? null;
  const rate = conversion === null ? "no rate yet" : `${formatPercent(conversion)} conversion`;
  const totals = `${formatCount(started)} started, ${formatCount(completed)} completed`;
  return {
    data: { started, completed, conversion, points },
    summary: `Sign-ups in the ${RANGE_LABELS[range]}: ${totals}, ${rate}.`,
    headline: [rate, totals],
    table: {
      columns: [
        column("bucket", "From", "time"),
        column("started", "Started", "count"),
        column("completed", "Completed", "count"),
        column("conversion_pct", "Conversion", "percent"),
        column("incomplete", "Incomplete", "flag"),
      ],
      rows: points.map(({ at, incomplete, values }) => [
        at,
        values.started,
        values.completed,
        values.conversion,
        incomplete,
      ]),
    },
    empty: started === 0 && completed === 0,
    approximate: false,
  };
}
