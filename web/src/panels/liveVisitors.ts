import type { GetLiveVisitorsResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatDuration, pluralize } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import type { ShapedPanel } from "./panel.ts";

export interface LiveVisitors {
  visitors: number;
  views: number;
  /** 0 if no page view has a duration. */
  averageMs: number;
}

export function shapeLiveVisitors(value: GetLiveVisitorsResponse): ShapedPanel<LiveVisitors> {
  const visitors = Number(value.uniqueVisitors);
  const views = Number(value.totalViews);
  const averageMs = value.avgDurationMs;
  const details = `${pluralize(views, "page view")}, ${formatDuration(averageMs)} on average`;
  return {
    data: { visitors, views, averageMs },
    summary: `${pluralize(visitors, "visitor")} in the last 5 minutes: ${details}.`,
    headline: [pluralize(visitors, "visitor"), details],
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
