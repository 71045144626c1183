import type { GetTopFeaturesResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatCount } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import { RANGE_LABELS } from "../lib/time.ts";
import type { Display, ShapedPanel } from "./panel.ts";

export interface Feature {
  name: string;
  users: number;
  events: number;
}

export function shapeTopFeatures(value: GetTopFeaturesResponse, { range }: Display): ShapedPanel<Feature[]> {
  const features = value.features.map((feature) => ({
    name: feature.feature,
    users: Number(feature.uniqueUsers),
    events: Number(feature.events),
  }));
  const first = features[0];
  const leading = features.slice(0, 3).map((feature) => `${feature.name} ${formatCount(feature.users)}`);
  return {
    data: features,
    summary: `Features by unique users in the ${RANGE_LABELS[range]}: ${leading.join(", ")}.`,
    headline: first ? [`${first.name} leads with ${formatCount(first.users)} unique users`] : [],
    table: {
      columns: [
        column("feature", "Feature", "text"),
        column("unique_users", "Unique users", "count"),
        column("events", "Events", "count"),
      ],
      rows: features.map((feature) => [feature.name, feature.users, feature.events]),
    },
    empty: features.length === 0,
    approximate: value.context?.approximate ?? false,
  };
}
