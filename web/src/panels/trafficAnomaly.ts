import type { GetTrafficAnomalyResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatChange, formatCount } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import type { ShapedPanel } from "./panel.ts";

export interface TrafficAnomaly {
  current: number;
  previous: number;
  /** In percent; none where there was nothing a week ago. */
  change: number | null;
}

export function shapeTrafficAnomaly(value: GetTrafficAnomalyResponse): ShapedPanel<TrafficAnomaly> {
  const current = Number(value.currentViews);
  const previous = Number(value.previousViews);
  const changed = value.changePct ?? null;
  const words = changed === null ? "nothing to compare with" : formatChange(changed);
  return {
    data: { current, previous, change: changed },
    summary: `${formatCount(current)} page views this hour so far, ${formatCount(previous)} by then a week ago: ${words}.`,
    headline: [`${formatCount(current)} page views this hour`, `${formatCount(previous)} a week ago: ${words}`],
    table: {
      columns: [
        column("current_views", "This hour", "count"),
        column("previous_views", "A week ago", "count"),
        column("change_pct", "Change", "percent"),
      ],
      rows: [[current, previous, changed]],
    },
    empty: false,
    approximate: false,
  };
}
