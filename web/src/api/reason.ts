import { Code, ConnectError } from "@connectrpc/connect";

/** How Chromium, Firefox and Safari say that a connection was refused or broke. */
const NO_CONNECTION = /^(failed to fetch|network\s?error|load failed)/i;

/** Why a call did not answer, in words; and whether the server was merely slow. */
export function reasonOf(error: unknown): { reason: string; slow: boolean } {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.DeadlineExceeded) return { reason: "no answer in time", slow: true };
  if (NO_CONNECTION.test(rawMessage)) return { reason: "the server cannot be reached", slow: false };
  return { reason: rawMessage || Code[code] || "unknown error", slow: false };
}
