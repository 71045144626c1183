const FIRST_MS = 500;
const LARGEST_MS = 10_000;

/**
 * How long to wait before attempt number `attempt` (from 1): doubled each time up to ten seconds, and anywhere in the
 * upper half of that, so that the pages that one restart has cut off do not all come back in the same instant.
 */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LARGEST_MS, FIRST_MS * 2 ** Math.max(0, attempt - 1));
  return ceiling * (0.5 + random() / 2);
}
