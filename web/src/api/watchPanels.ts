import type { WatchPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import type { DashboardClient } from "./client.tsx";
import { type QueryParams, toTimeRange } from "./queryParams.ts";

/** Subscribes to one panel. Updates carry the id. */
export interface WatchQuery extends QueryParams {
  id: string;
  panel: string;
}

/** One stream for all panels. It sends the current value of each, then an update whenever one changes. */
export function watchPanels(
  client: DashboardClient,
  queries: WatchQuery[],
  signal: AbortSignal,
): AsyncIterable<WatchPanelsResponse> {
  const requested = queries.map(({ id, panel, range, zone }) => ({
    id,
    panel,
    timeRange: toTimeRange(range),
    timeZone: zone,
  }));
  return client.watchPanels({ queries: requested }, { signal });
}
