import { Code, ConnectError } from "@connectrpc/connect";

/** How Chromium, Firefox and Safari say that a connection was refused or broke. */
const NETWORK_ERROR = /^(failed to fetch|network\s?error|load failed)/i;

/** Why a call did not answer, in words; and whether the server was merely slow. */
export function describeError(error: unknown): { reason: string; slow: boolean } {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.DeadlineExceeded) return { reason: "no answer in time", slow: true };
  if (NETWORK_ERROR.test(rawMessage)) return { reason: "the server cannot be reached", slow: false };
  return { reason: rawMessage || Code[code] || "unknown error", slow: false };
}
