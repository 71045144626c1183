import type { ListPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import type { DashboardClient } from "./client.tsx";
import { CALL_TIMEOUT_MS } from "./queryParams.ts";

export const listPanels = (client: DashboardClient, signal: AbortSignal): Promise<ListPanelsResponse> =>
  client.listPanels({}, { signal, timeoutMs: CALL_TIMEOUT_MS });
