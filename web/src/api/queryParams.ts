import { TimeRange } from "../gen/millrace/v1/dashboard_pb.ts";
import type { Range } from "../lib/time.ts";

/** Parameters that all panels share. */
export interface QueryParams {
  range: Range;
  zone: string;
}

const RANGES: Record<Range, TimeRange> = {
  "1h": TimeRange.TIME_RANGE_1H,
  "6h": TimeRange.TIME_RANGE_6H,
  "24h": TimeRange.TIME_RANGE_24H,
  "7d": TimeRange.TIME_RANGE_7D,
};

export const toTimeRange = (range: Range): TimeRange => RANGES[range];

/** Deadline of unary calls. A panel responds in milliseconds unless something is wrong. */
export const CALL_TIMEOUT_MS = 5_000;
