import { Code, ConnectError } from "@connectrpc/connect";

/** Why a call did not answer, in words; and whether the server was merely slow. */
export function reasonOf(error: unknown): { reason: string; slow: boolean } {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.DeadlineExceeded) return { reason: "no answer in time", slow: true };
  // Each browser has its own words for a refused connection.
  if (code === Code.Unknown || /fetch|network|load failed/i.test(rawMessage)) {
    return { reason: "the server cannot be reached", slow: false };
  }
  return { reason: rawMessage || Code[code] || "unknown error", slow: false };
}
