import type { DashboardApi } from "../api/dashboard.ts";
import { toFailure } from "../api/errors.ts";
import { Code, StatusError } from "../api/status.ts";
import type { Call, CallFailure, CallResults } from "./protocol.ts";

/** Runs a one-shot call of a tab. `now` is the server's time, which new events get. */
export function runCall(
  api: DashboardApi,
  call: Call,
  now: number,
  signal: AbortSignal,
): Promise<CallResults[keyof CallResults]> {
  switch (call.method) {
    case "query":
      return api.query(call.query, signal);
    case "sendEvent":
      return api.sendEvent(call, now, signal);
    case "board":
      return api.board(call.name, signal);
    case "boards":
      return api.boards(signal);
  }
}

/** As plain data: a tab does not know status codes. */
export function callFailure(error: unknown): CallFailure {
  const { reason, kind, retryAfterMs } = toFailure(error);
  const missing = error instanceof StatusError && error.code === Code.NotFound;
  return {
    reason,
    permanent: kind === "permanent",
    ...(missing && { missing }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}
