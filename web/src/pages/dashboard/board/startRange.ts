// The range that a dashboard begins with.

import { type QueryRange, timestampMs } from "../../../api/messages.ts";
import { presetOf } from "../../../api/selection.ts";
import type { Range } from "../../../query/range.ts";

/** Undefined: none of its own. */
export function startRange(range: Pick<QueryRange, "timeRange" | "interval"> | undefined): Range | undefined {
  if (!range) return undefined;
  const { start, end } = range.interval ?? {};
  if (start) return end ? { from: timestampMs(start), to: timestampMs(end) } : { from: timestampMs(start) };
  return presetOf(range.timeRange);
}
