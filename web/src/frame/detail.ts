// What the results of Explore have beyond the columns of a frame. Plain data, so that it can be posted.

/** The whole of it is what charts of one kind draw, and what a click on a point needs to ask for the people behind it. */
export type Detail = TrendDetail | FunnelDetail | RetentionDetail | PathsDetail;

export interface TrendDetail {
  kind: "trend";
  /** Starts of the buckets: Unix milliseconds. */
  buckets: number[];
  /** The fields of the breakdown. Empty without one. */
  fields: string[];
  /** By series, then by the total, descending; the rest of a breakdown last. */
  lines: TrendLine[];
}

export interface TrendLine {
  /** Series and values of the breakdown, as far as they tell the lines apart. */
  label: string;
  /** Index of the series in the request. 0 with a formula. */
  series: number;
  /** One value per field. Empty for the rest. */
  breakdown: string[];
  isOther: boolean;
  unit: string;
  /** Whether values of different buckets, and of different lines, can be added up. */
  additive: boolean;
  /** One per bucket. Null is no value, not a zero. */
  values: (number | null)[];
  /** Over the whole range. Distinct counts are counted anew. */
  total: number | null;
  /** The earlier period, if there is one. */
  compared?: { values: (number | null)[]; total: number | null };
}

export interface FunnelDetail {
  kind: "funnel";
  /** Names of the steps. */
  steps: string[];
  /** The field of the breakdown. Empty without one. */
  field: string;
  overall: FunnelResult;
  breakdown: FunnelResult[];
  /** Of their events only the first 10,000 were considered. */
  truncatedVisitors: number;
  /** "visitors", "sessions", or the field whose values go through the funnel. */
  entity: string;
}

export interface FunnelResult {
  /** The value of the breakdown. Empty for the whole funnel. */
  value: string;
  steps: FunnelStepResult[];
  trend: FunnelTrendPoint[];
  timeToConvert: TimeToConvert | null;
  /** Entries that can still convert. */
  running: number;
}

export interface FunnelStepResult {
  count: number;
  /** Percentages are null where there is nothing to divide by. */
  fromFirstPct: number | null;
  fromPreviousPct: number | null;
  /** Of the time from the previous step. */
  medianMs: number | null;
}

export interface FunnelTrendPoint {
  /** Start of the bucket: Unix milliseconds. */
  at: number;
  entered: number;
  converted: number;
  pct: number | null;
  /** Some can still convert. */
  incomplete: boolean;
}

export interface TimeToConvert {
  averageMs: number | null;
  medianMs: number | null;
  p90Ms: number | null;
  /** Conversions by intervals of equal length, from 0. */
  histogram: number[];
  intervalMs: number;
}

export type PeriodUnit = "hour" | "day" | "week" | "month";

export interface RetentionDetail {
  kind: "retention";
  period: PeriodUnit;
  /** How many periods after the first. */
  periods: number;
  field: string;
  overall: RetentionResult;
  breakdown: RetentionResult[];
}

export interface RetentionResult {
  value: string;
  cohorts: RetentionCohort[];
  /** Of the complete cells of each period, in percent. */
  mean: (number | null)[];
}

export interface RetentionCohort {
  /** Start of the period: Unix milliseconds. */
  start: number;
  visitors: number;
  /** By period. Later cohorts have fewer. */
  cells: RetentionCell[];
}

export interface RetentionCell {
  visitors: number;
  pct: number | null;
  /** The figure can still grow. */
  incomplete: boolean;
}

export interface PathsDetail {
  kind: "paths";
  /** The paths lead to the event instead of starting from it: steps count backwards. */
  before: boolean;
  /** Where paths begin or end. Empty: at the start of each visit. */
  event: string;
  /** Transitions per path. */
  steps: number;
  /** Paths that were followed. */
  paths: number;
  transitions: PathTransition[];
  truncatedVisitors: number;
}

export interface PathTransition {
  /** From 1: from the first event to the second. */
  step: number;
  from: string;
  /** Empty if the visit ended there, or began there if the paths lead to an event. */
  to: string;
  count: number;
  averageMs: number | null;
}

/** What a query cost the server. */
export interface QueryCost {
  rowsRead: number;
  bytesRead: number;
  elapsedMs: number;
  /** Where the figures come from. Absent if that is not known. */
  source?: "rollup" | "events";
  /** How long after one result the next can follow, if the server limits it. */
  minIntervalMs?: number;
}
