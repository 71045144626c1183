// What happened when, on charts over time: which annotations a chart shows, and which one belongs to a point.

import { createContext, use } from "react";
import { formatInstant } from "../lib/time.ts";
import type { Plot } from "./plot.ts";

export interface Annotation {
  name: string;
  title: string;
  description: string;
  /** Unix milliseconds. */
  at: number;
}

export interface Annotations {
  /** In the order of time. */
  list: readonly Annotation[];
  /** Opens the form of a new one. Absent if the reader may not save any. */
  add?: () => void;
}

export const AnnotationsContext = createContext<Annotations>({ list: [] });

export const useAnnotations = (): Annotations => use(AnnotationsContext);

/** Those within the time of a chart. */
export const annotationsWithin = (
  list: readonly Annotation[],
  { start, end }: Pick<Plot, "start" | "end">,
): Annotation[] => list.filter(({ at }) => at >= start && at <= end);

/** Those of the bucket of a point, or next to it if points have no duration. */
export function annotationsOf(
  list: readonly Annotation[],
  { times, ends }: Pick<Plot, "times" | "ends">,
  index: number,
): Annotation[] {
  const from = times[index];
  const to = ends[index];
  if (from === undefined || to === undefined) return [];
  if (to > from) return list.filter(({ at }) => at >= from && at < to);
  const before = times[index - 1] ?? Number.NEGATIVE_INFINITY;
  const after = times[index + 1] ?? Number.POSITIVE_INFINITY;
  return list.filter(({ at }) => at >= (before + from) / 2 && at < (from + after) / 2);
}

/** "Sat 21 Nov, 10:05: Release 2.4". */
export const annotationWords = ({ at, title }: Annotation, zone: string, now: number): string =>
  `${formatInstant(at, zone, now, false)}: ${title}`;
