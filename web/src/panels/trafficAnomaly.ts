import type { GetTrafficAnomalyResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatChange, formatCount } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import type { ShapedPanel } from "./panel.ts";

export interface TrafficAnomaly {
  current: number;
  previous: number;
  /** In percent. Null if there were no page views a week ago. */
  change: number | null;
}

export function shapeTrafficAnomaly(value: GetTrafficAnomalyResponse): ShapedPanel<TrafficAnomaly> {
  const current = Number(value.currentViews);
  const previous = Number(value.previousViews);
  const changePct = value.changePct ?? null;
  const comparison = changePct === null ? "no comparison" : formatChange(changePct);
  return {
    data: { current, previous, change: changePct },
    summary: `${formatCount(current)} page views this hour so far, ${formatCount(previous)} at the same time last week: ${comparison}.`,
    headline: [
      `${formatCount(current)} page views this hour`,
      `${formatCount(previous)} at the same time last week: ${comparison}`,
    ],
    table: {
      columns: [
        column("current_views", "This hour", "count"),
        column("previous_views", "Last week", "count"),
        column("change_pct", "Change", "percent"),
      ],
      rows: [[current, previous, changePct]],
    },
    empty: false,
    approximate: false,
  };
}
