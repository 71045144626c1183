import type { DashboardApi } from "../api/dashboard.ts";
import type { Call, CallResults } from "./protocol.ts";

/** Runs a one-shot call of a tab. `now` is the server's time, which new events get. */
export function runCall(
  api: DashboardApi,
  call: Call,
  now: number,
  signal: AbortSignal,
): Promise<CallResults[keyof CallResults]> {
  switch (call.method) {
    case "queryPanel":
      return api.queryPanel(call.query, signal);
    case "sendEvent":
      return api.sendEvent(call, now, signal);
  }
}
