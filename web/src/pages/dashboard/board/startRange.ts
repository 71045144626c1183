// The range that a dashboard begins with.

import { useEffect, useMemo } from "react";
import { startRange } from "../../../api/selection.ts";
import type { Range } from "../../../query/range.ts";
import { type ChangeView, DEFAULT_RANGE, type View } from "../../../shell/view.ts";
import type { Board } from "./board.ts";

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
