// A figure of a chart that a reader has chosen, to see the people behind it. Plain data; api/ makes a request of it.

export type Pick =
  /** Without a bucket: the whole range. Without a breakdown: all values. */
  | { kind: "trend"; series: number; breakdown: string[]; isOther: boolean; bucket?: number }
  /** Who reached the step, from 1, or who reached the one before but not this one. */
  | { kind: "funnel"; step: number; dropped: boolean; breakdown?: string; bucket?: number }
  /** Who of a cohort came back in a period, from 0, or who did not. */
  | { kind: "retention"; cohort: number; period: number; dropped: boolean; breakdown?: string };
