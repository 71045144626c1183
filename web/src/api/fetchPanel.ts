import type { DashboardClient } from "./client.tsx";
import { CALL_TIMEOUT_MS, type QueryParams, toTimeRange } from "./queryParams.ts";
import type { PanelValue } from "./value.ts";

/** Queries one panel once: by its typed RPC if it has one, else by QueryPanel as a table. */
export async function fetchPanel(
  client: DashboardClient,
  panel: string,
  params: QueryParams,
  signal: AbortSignal,
): Promise<PanelValue> {
  const request = { timeRange: toTimeRange(params.range), timeZone: params.zone };
  const options = { signal, timeoutMs: CALL_TIMEOUT_MS };
  switch (panel) {
    case "active_users":
      return { case: "activeUsers", value: await client.getActiveUsers(request, options) };
    case "signup_funnel":
      return { case: "signupFunnel", value: await client.getSignupFunnel(request, options) };
    case "top_features":
      return { case: "topFeatures", value: await client.getTopFeatures(request, options) };
    case "error_rate":
      return { case: "errorRate", value: await client.getErrorRate(request, options) };
    case "live_visitors":
      return { case: "liveVisitors", value: await client.getLiveVisitors(request, options) };
    case "top_pages":
      return { case: "topPages", value: await client.getTopPages(request, options) };
    case "traffic_by_country":
      return { case: "trafficByCountry", value: await client.getTrafficByCountry(request, options) };
    case "traffic_anomaly":
      return { case: "trafficAnomaly", value: await client.getTrafficAnomaly(request, options) };
    default: {
      const { table } = await client.queryPanel({ ...request, panel }, options);
      if (!table) throw new Error(`the response for panel ${panel} has no table`);
      return { case: "table", value: table };
    }
  }
}
