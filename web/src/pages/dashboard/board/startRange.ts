// The range that a dashboard begins with.

import { useEffect, useMemo } from "react";
import { type QueryRange, timestampMs } from "../../../api/messages.ts";
import { presetOf } from "../../../api/selection.ts";
import type { Range } from "../../../query/range.ts";
import { type ChangeView, DEFAULT_RANGE, type View } from "../../../shell/view.ts";
import type { Board } from "./board.ts";

/** Undefined: none of its own. */
export function startRange(range: Pick<QueryRange, "timeRange" | "interval"> | undefined): Range | undefined {
  if (!range) return undefined;
  const { start, end } = range.interval ?? {};
  if (start) return end ? { from: timestampMs(start), to: timestampMs(end) } : { from: timestampMs(start) };
  return presetOf(range.timeRange);
}

/**
 * The range to show. If nobody has chosen one, it becomes that of the dashboard, in the address as well. A wall still has none
 * that is chosen: the next dashboard, or this one after a restart, shows its own.
 */
export function useStartRange(board: Board | undefined, view: View, setView: ChangeView): Range {
  const { own, wall, range } = view;
  const start = useMemo(
    () => (own && board ? (startRange(board.range) ?? (wall ? DEFAULT_RANGE : range)) : range),
    [own, wall, board, range],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each version of the dashboard
  useEffect(() => {
    if (own && board) setView({ range: start, own: wall }, { replace: true });
  }, [own, wall, board, setView]);
  return start;
}
