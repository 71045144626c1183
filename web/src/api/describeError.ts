import { Code, ConnectError } from "@connectrpc/connect";

/** Messages of Chromium, Firefox and Safari for a refused or broken connection. */
const NETWORK_ERROR = /^(failed to fetch|network\s?error|load failed)/i;

/** Turns the error of a call into text for the page. `timedOut`: the deadline passed, so the server may only be slow. */
export function describeError(error: unknown): { reason: string; timedOut: boolean } {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.DeadlineExceeded) return { reason: "no response in time", timedOut: true };
  if (NETWORK_ERROR.test(rawMessage)) return { reason: "the server cannot be reached", timedOut: false };
  return { reason: rawMessage || Code[code] || "unknown error", timedOut: false };
}
