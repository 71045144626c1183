// A frame: the result of a panel's query with all that is needed to draw it. Plain data, so that it can be posted between
// the worker and its tabs.

import type { Detail, QueryCost } from "./detail.ts";

/** `measure` is drawn, `detail` is shown in tooltips and tables only, `hidden` is not shown. */
export type Role = "time" | "dimension" | "measure" | "detail" | "hidden";

/** `time` holds Unix milliseconds, `date` days since 1970-01-01. `int` holds bigints beyond 2^53, so that no digit is lost. */
export type ColumnType = "int" | "float" | "bool" | "text" | "time" | "date";

export type Cell = number | bigint | string | boolean | null;

export interface FrameColumn {
  /** The name in the statement. */
  name: string;
  /** The name for people. */
  label: string;
  type: ColumnType;
  role: Role;
  /** For example "%" or "ms". May be empty. */
  unit: string;
  /** Whether values of different rows can be added up. */
  additive: boolean;
  /** One per row. Null is not zero. */
  values: Cell[];
}

/** A single value with its name. */
export interface Figure {
  label: string;
  unit: string;
  value: Cell;
  /** Unix milliseconds in `value`. */
  isTime: boolean;
  comparison?: Comparison;
}

export interface Comparison {
  label: string;
  value: number | bigint | null;
  /** In percent. Null if the history does not cover the earlier value, or if it is zero. */
  changePct: number | null;
}

/** What a frame was computed for. Times are Unix milliseconds by the server's clock. */
export interface FrameContext {
  start: number;
  end: number;
  zone: string;
  computedAt: number;
  /** Distinct counts may be off by up to 1 %. */
  approximate: boolean;
  /** Start of the running bucket: values from here on still change. Null if no bucket includes the present. */
  partialFrom: number | null;
  /** Nominal width of a bucket; the first may be cut. Null if the panel does not use the buckets of the range. */
  bucketSeconds: number | null;
  /** The panel's own span, for example "last 5 minutes". Empty if it covers the requested range. */
  span: string;
  /** Where the figures come from. Absent if that is not known. */
  source?: "rollup" | "events";
  /** Start of the requested range, if it is before what is stored. */
  requestedStart?: number;
}

export interface Frame {
  columns: FrameColumn[];
  rows: number;
  /** The lead figure first. May be empty. */
  figures: Figure[];
  threshold: number | null;
  context: FrameContext;
  /** The same for an earlier period, if requested. */
  comparison?: Frame;
  /** Of a question of Explore: all of its result. */
  detail?: Detail;
  /** Of a question of Explore. */
  cost?: QueryCost;
}
