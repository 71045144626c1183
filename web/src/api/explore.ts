// Questions of Explore as requests: the selection of the page is applied to what the reader has asked.

import type { ChartKind } from "../frame/catalog.ts";
import type { Pick } from "../frame/pick.ts";
import type {
  ListPeopleRequest,
  QueryFunnelRequest,
  QueryPathsRequest,
  QueryRange,
  QueryRetentionRequest,
  QueryTrendRequest,
} from "../gen/millrace/v1/explore_pb.ts";
import { type EventFilter, FieldOperator } from "../gen/millrace/v1/filter_pb.ts";
import { InsightChart } from "../gen/millrace/v1/insights_pb.ts";
import { Bucket, Compare as CompareMessage } from "../gen/millrace/v1/range_pb.ts";
import type { Exploration, ExploreKind, ExploreQuery, Filter } from "../query/query.ts";
import { boundsOf } from "../query/range.ts";
import type { Init } from "./codec.ts";
import { COMPARE, toFilters, toRange } from "./selection.ts";
import { toTimestamp } from "./time.ts";

interface Requests {
  trend: QueryTrendRequest;
  funnel: QueryFunnelRequest;
  retention: QueryRetentionRequest;
  paths: QueryPathsRequest;
}

/** A kind with its request, as the oneofs of the contract have it: PanelQuery.explore, Insight.query, DashboardItem.content. */
export type ExploreRequest = { [Kind in keyof Requests]: { case: Kind; value: Init<Requests[Kind]> } }[keyof Requests];

/** For `exploreQuery`. The request must not be changed afterwards. */
export const exploration = ({ case: kind, value }: ExploreRequest): Exploration => ({ kind, request: value });

/** The reader's filter and those of the page. */
export function withPageFilters(
  own: Init<EventFilter> | undefined,
  filters: Filter[] | undefined,
): Init<EventFilter> | undefined {
  const page = toFilters(filters).map(
    ({ dimension, values }): Init<EventFilter> => ({
      condition: { case: "field", value: { field: dimension, operator: FieldOperator.IS, values } },
    }),
  );
  const all = own?.condition?.case === undefined ? page : [own, ...page];
  return all.length < 2 ? all[0] : { condition: { case: "all", value: { filters: all } } };
}

const MINUTE = 60_000;
const WIDTHS: Partial<Record<Bucket, number>> = {
  [Bucket.BUCKET_MINUTE]: MINUTE,
  [Bucket.BUCKET_5_MINUTES]: 5 * MINUTE,
  [Bucket.BUCKET_QUARTER_HOUR]: 15 * MINUTE,
  [Bucket.BUCKET_HALF_HOUR]: 30 * MINUTE,
  [Bucket.BUCKET_HOUR]: 60 * MINUTE,
  [Bucket.BUCKET_2_HOURS]: 120 * MINUTE,
  [Bucket.BUCKET_6_HOURS]: 360 * MINUTE,
};
/** The server's limit. */
const MAX_BUCKETS = 1_000;

/** The bucket of the question if the range has room for it: the page may have another range than the one it was made for. */
function fittingBucket(bucket: Bucket | undefined, { range, zone }: ExploreQuery, now: number): Bucket | undefined {
  const width = bucket === undefined ? undefined : WIDTHS[bucket];
  if (width === undefined) return bucket;
  const { from, to } = boundsOf(range, zone, now);
  return (Math.min(to, now) - from) / width <= MAX_BUCKETS - 1 ? bucket : Bucket.BUCKET_UNSPECIFIED;
}

/** The figure that a reader has chosen in a chart of the query, for `LIST_PEOPLE`. */
export function figureOf(query: ExploreQuery, pick: Pick, now: number = Date.now()): ListPeopleFigure | undefined {
  const asked = exploreRequest(query, now);
  if (asked.case === "trend" && pick.kind === "trend") {
    const { series, breakdown, isOther, bucket } = pick;
    const at = bucket === undefined ? undefined : toTimestamp(bucket);
    return { case: "trend", value: { query: asked.value, series, breakdown, isOther, bucket: at } };
  }
  if (asked.case === "funnel" && pick.kind === "funnel") {
    const { step, dropped, breakdown, bucket } = pick;
    const at = bucket === undefined ? undefined : toTimestamp(bucket);
    return { case: "funnel", value: { query: asked.value, step, dropped, breakdown, bucket: at } };
  }
  if (asked.case === "retention" && pick.kind === "retention") {
    const { cohort, period, dropped, breakdown } = pick;
    const start = toTimestamp(cohort);
    return { case: "retention", value: { query: asked.value, cohort: start, period, dropped, breakdown } };
  }
  return undefined;
}

/** ListPeopleRequest.figure. */
export type ListPeopleFigure = Extract<Init<ListPeopleRequest["figure"]>, { case?: "trend" | "funnel" | "retention" }>;

const CHARTS: Partial<Record<InsightChart, ChartKind>> = {
  [InsightChart.LINE]: "line",
  [InsightChart.AREA]: "area",
  [InsightChart.STACKED]: "stacked",
  [InsightChart.BAR]: "bar",
  [InsightChart.HORIZONTAL_BAR]: "horizontal-bar",
  [InsightChart.NUMBER]: "number",
  [InsightChart.STEPS]: "steps",
  [InsightChart.TIME_TO_CONVERT]: "time-to-convert",
  [InsightChart.FLOW]: "flow",
};
const DEFAULT_CHARTS: Record<ExploreKind, ChartKind> = {
  trend: "line",
  funnel: "steps",
  retention: "grid",
  paths: "flow",
};

/** How a question is drawn. The table of a retention is its grid. */
export function chartKind(kind: ExploreKind, chart: InsightChart = InsightChart.UNSPECIFIED): ChartKind {
  if (chart === InsightChart.TABLE) return kind === "retention" ? "grid" : "table";
  return CHARTS[chart] ?? DEFAULT_CHARTS[kind];
}

/** The same for saving. */
export function insightChart(kind: ChartKind): InsightChart {
  if (kind === "table" || kind === "grid") return InsightChart.TABLE;
  const found = Object.entries(CHARTS).find(([, each]) => each === kind)?.[0];
  return found === undefined ? InsightChart.UNSPECIFIED : Number(found);
}

/** The request with the range, the zone, the filters and the comparison of the page. Also for `ListPeople`. */
export function exploreRequest(query: ExploreQuery, now: number = Date.now()): ExploreRequest {
  const { explore, range, zone, compare, filters } = query;
  const time: Init<QueryRange> = { ...toRange(range), timeZone: zone };
  switch (explore.kind) {
    case "trend": {
      const own = explore.request as Init<QueryTrendRequest>;
      const value = {
        ...own,
        range: time,
        filter: withPageFilters(own.filter, filters),
        bucket: fittingBucket(own.bucket, query, now),
        compare: compare ? COMPARE[compare] : CompareMessage.UNSPECIFIED,
      };
      return { case: "trend", value };
    }
    case "funnel": {
      const own = explore.request as Init<QueryFunnelRequest>;
      const filter = withPageFilters(own.filter, filters);
      return { case: "funnel", value: { ...own, range: time, filter, bucket: fittingBucket(own.bucket, query, now) } };
    }
    case "retention": {
      const own = explore.request as Init<QueryRetentionRequest>;
      const ends = range === "yesterday" || (typeof range !== "string" && range.to !== undefined && range.to <= now);
      const value = {
        ...own,
        filter: withPageFilters(own.filter, filters),
        timeZone: zone,
        // The last cohort is that of the last moment of the range. The number of cohorts is that of the question.
        end: ends ? toTimestamp(boundsOf(range, zone, now).to - 1) : undefined,
      };
      return { case: "retention", value };
    }
    case "paths": {
      const own = explore.request as Init<QueryPathsRequest>;
      return { case: "paths", value: { ...own, range: time, filter: withPageFilters(own.filter, filters) } };
    }
  }
}
