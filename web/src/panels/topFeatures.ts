import type { GetTopFeaturesResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { count } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import { RANGE_NAMES } from "../lib/time.ts";
import type { Display, Shaped } from "./panel.ts";

export interface Feature {
  name: string;
  users: number;
  events: number;
}

export function shapeTopFeatures(value: GetTopFeaturesResponse, { range }: Display): Shaped<Feature[]> {
  const features = value.features.map((feature) => ({
    name: feature.feature,
    users: Number(feature.uniqueUsers),
    events: Number(feature.events),
  }));
  const first = features[0];
  const leading = features.slice(0, 3).map((feature) => `${feature.name} ${count(feature.users)}`);
  return {
    data: features,
    summary: `Features by unique users in the ${RANGE_NAMES[range]}: ${leading.join(", ")}.`,
    headline: first ? [`${first.name} leads with ${count(first.users)} unique users`] : [],
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
