import type { WatchPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import type { DashboardClient } from "./client.tsx";
import { type QueryParams, toTimeRange } from "./queryParams.ts";

/** One panel to watch; the id names it in the updates. */
export interface WatchQuery extends QueryParams {
  id: string;
  panel: string;
}

/** One stream for all panels: each value at once, then an update whenever one changes. */
export function watchPanels(
  client: DashboardClient,
  queries: WatchQuery[],
  signal: AbortSignal,
): AsyncIterable<WatchPanelsResponse> {
  const asked = queries.map(({ id, panel, range, zone }) => ({
    id,
    panel,
    timeRange: toTimeRange(range),
    timeZone: zone,
  }));
  return client.watchPanels({ queries: asked }, { signal });
}
