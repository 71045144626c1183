const INITIAL_DELAY_MS = 500;
const MAX_DELAY_MS = 10_000;

/**
 * Delay before attempt number `attempt` (from 1). It doubles with each attempt up to ten seconds. Jitter over the upper
 * half spreads the reconnects of all pages after a server restart.
 */
export function backoffDelayMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(MAX_DELAY_MS, INITIAL_DELAY_MS * 2 ** Math.max(0, attempt - 1));
  return ceiling * (0.5 + random() / 2);
}
