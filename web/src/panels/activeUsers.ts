import type { GetActiveUsersResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { count, plural } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import { BUCKET_NAMES, RANGE_NAMES } from "../lib/time.ts";
import type { Display, Shaped } from "./panel.ts";
import { millis, type Point } from "./points.ts";

export interface ActiveUsers {
  now: number;
  peak: number;
  points: Point[];
}

export function shapeActiveUsers(value: GetActiveUsersResponse, { range }: Display): Shaped<ActiveUsers> {
  const points = value.series.map((point) => ({
    at: millis(point.bucket),
    incomplete: point.incomplete,
    figures: { users: Number(point.activeUsers) },
  }));
  const now = Number(value.activeUsers);
  const peak = Math.max(0, ...points.map((point) => point.figures.users));
  return {
    data: { now, peak, points },
    summary: `${plural(now, "active user")} now. At most ${count(peak)} within ${BUCKET_NAMES[range]} of the ${RANGE_NAMES[range]}.`,
    headline: [
      `${count(now)} active now`,
      `peak of the ${RANGE_NAMES[range]}: ${count(peak)} within ${BUCKET_NAMES[range]}`,
    ],
    table: {
      columns: [
        column("bucket", "From", "time"),
        column("active_users", "Active users", "count"),
        column("incomplete", "Still running", "flag"),
      ],
      rows: points.map((point) => [point.at, point.figures.users, point.incomplete]),
    },
    // Nobody active is a figure like any other.
    empty: points.length === 0,
    approximate: value.context?.approximate ?? false,
  };
}
