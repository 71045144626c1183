import type { GetActiveUsersResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatCount, pluralize } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import { BUCKET_LABELS, RANGE_LABELS } from "../lib/time.ts";
import type { Display, ShapedPanel } from "./panel.ts";
import { type Point, toMillis } from "./points.ts";

export interface ActiveUsers {
  now: number;
  peak: number;
  points: Point[];
}

export function shapeActiveUsers(value: GetActiveUsersResponse, { range }: Display): ShapedPanel<ActiveUsers> {
  const points = value.series.map((point) => ({
    at: toMillis(point.bucket),
    incomplete: point.incomplete,
    values: { users: Number(point.activeUsers) },
  }));
  const now = Number(value.activeUsers);
  const peak = Math.max(0, ...points.map((point) => point.values.users));
  return {
    data: { now, peak, points },
    summary: `${pluralize(now, "active user")} now. At most ${formatCount(peak)} within ${BUCKET_LABELS[range]} of the ${RANGE_LABELS[range]}.`,
    headline: [
      `${formatCount(now)} active now`,
      `peak of the ${RANGE_LABELS[range]}: ${formatCount(peak)} within ${BUCKET_LABELS[range]}`,
    ],
    table: {
      columns: [
        column("bucket", "From", "time"),
        column("active_users", "Active users", "count"),
        column("incomplete", "Incomplete", "flag"),
      ],
      rows: points.map((point) => [point.at, point.values.users, point.incomplete]),
    },
    // Zero active users is a valid value.
    empty: points.length === 0,
    approximate: value.context?.approximate ?? false,
  };
}
