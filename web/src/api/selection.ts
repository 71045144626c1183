// What the page has selected, as the contract has it.

import type { Compare as CompareMessage, TimeRange } from "../gen/millrace/v1/range_pb.ts";
import type { Compare, Filter } from "../query/query.ts";
import type { Preset, Range } from "../query/range.ts";
import type { QueryRange } from "./messages.ts";
import { timestampMs, toTimestamp } from "./time.ts";

/** As numbers, which the compiler compares: the generated enums bring those of all other messages along. */
const PRESETS: Record<Preset, TimeRange> = {
  "1h": 1 satisfies TimeRange.TIME_RANGE_1H,
  "6h": 2 satisfies TimeRange.TIME_RANGE_6H,
  "24h": 3 satisfies TimeRange.TIME_RANGE_24H,
  "7d": 4 satisfies TimeRange.TIME_RANGE_7D,
  "30d": 5 satisfies TimeRange.TIME_RANGE_30D,
  "90d": 6 satisfies TimeRange.TIME_RANGE_90D,
  today: 7 satisfies TimeRange.TIME_RANGE_TODAY,
  yesterday: 8 satisfies TimeRange.TIME_RANGE_YESTERDAY,
  "this-week": 9 satisfies TimeRange.TIME_RANGE_THIS_WEEK,
  "this-month": 10 satisfies TimeRange.TIME_RANGE_THIS_MONTH,
};

/** Undefined without one. */
export const presetOf = (timeRange: TimeRange | undefined): Preset | undefined =>
  (Object.keys(PRESETS) as Preset[]).find((name) => PRESETS[name] === timeRange);

/** What a dashboard begins with. Undefined: it has no range of its own. */
export function startRange(range: Pick<QueryRange, "timeRange" | "interval"> | undefined): Range | undefined {
  if (!range) return undefined;
  const { start, end } = range.interval ?? {};
  if (start) return end ? { from: timestampMs(start), to: timestampMs(end) } : { from: timestampMs(start) };
  return presetOf(range.timeRange);
}

export const COMPARE: Record<Compare, CompareMessage> = {
  previous: 1 satisfies CompareMessage.PREVIOUS_PERIOD,
  week: 2 satisfies CompareMessage.WEEK_AGO,
};

/** Exactly one of a preset and an interval. */
export const toRange = (range: Range) =>
  typeof range === "string"
    ? { timeRange: PRESETS[range] }
    : {
        interval: {
          start: toTimestamp(range.from),
          end: range.to === undefined ? undefined : toTimestamp(range.to),
        },
      };

/** The values of a dimension are alternatives. */
export function toFilters(filters: Filter[] = []): { dimension: string; values: string[] }[] {
  const byDimension = new Map<string, string[]>();
  for (const { dimension, value } of filters) {
    byDimension.set(dimension, [...(byDimension.get(dimension) ?? []), value]);
  }
  return [...byDimension].map(([dimension, values]) => ({ dimension, values }));
}
