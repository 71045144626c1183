// Dragging over a chart chooses the range of the page.

import { createContext, use } from "react";
import type { Plot } from "./plot.ts";

/** Unix milliseconds. */
export type OnZoom = (from: number, to: number) => void;

/** Without it, charts cannot be zoomed. */
export const ZoomContext = createContext<OnZoom | undefined>(undefined);

export const useZoom = (): OnZoom | undefined => use(ZoomContext);

/** A shorter drag is a click, in CSS pixels. */
export const MIN_DRAG = 8;
/** The server's narrowest bucket. */
const MIN_SPAN = 60_000;

/** The buckets that a selection touches, from the start of the first to the end of the last. Null if that is nothing to zoom to. */
export function zoomSpan(
  { times, ends }: Pick<Plot, "times" | "ends">,
  from: number,
  to: number,
): [number, number] | null {
  const first = times.findIndex((at, index) => (ends[index] ?? at) > from);
  const last = times.findLastIndex((at) => at < to);
  const start = times[first];
  const end = ends[last];
  if (start === undefined || end === undefined || end - start < MIN_SPAN) return null;
  // All of it is what is shown already.
  return first === 0 && last === times.length - 1 ? null : [start, end];
}
