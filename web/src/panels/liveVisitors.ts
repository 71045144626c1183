import type { GetLiveVisitorsResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { duration, plural } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import type { Shaped } from "./panel.ts";

export interface LiveVisitors {
  visitors: number;
  views: number;
  /** 0 where no view says how long it lasted. */
  averageMs: number;
}

export function shapeLiveVisitors(value: GetLiveVisitorsResponse): Shaped<LiveVisitors> {
  const visitors = Number(value.uniqueVisitors);
  const views = Number(value.totalViews);
  const averageMs = value.avgDurationMs;
  const details = `${plural(views, "page view")}, ${duration(averageMs)} on average`;
  return {
    data: { visitors, views, averageMs },
    summary: `${plural(visitors, "visitor")} in the last 5 minutes: ${details}.`,
    headline: [plural(visitors, "visitor"), details],
    table: {
      columns: [
        column("unique_visitors", "Visitors", "count"),
        column("total_views", "Page views", "count"),
        column("avg_duration_ms", "Average duration", "duration"),
      ],
      rows: [[visitors, views, averageMs]],
    },
    empty: false,
    approximate: value.context?.approximate ?? false,
  };
}
