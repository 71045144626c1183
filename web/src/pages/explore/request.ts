// Questions as messages of the contract, and back. Enumerations of the contract begin with "unspecified", so the number of a
// value is its index here plus one.

import type {
  EventFilter,
  FunnelExclusion,
  FunnelStep,
  Init,
  Insight,
  QueryFunnelRequest,
  QueryPathsRequest,
  QueryRange,
  QueryRetentionRequest,
  QueryTrendRequest,
  TrendSeries,
} from "../../api/messages.ts";
import { toRange as rangeInit } from "../../api/selection.ts";
import { durationMs, toDuration, toTimestamp } from "../../api/time.ts";
import { COMPARISONS, type Filter, type Selection } from "../../query/query.ts";
import {
  BUCKETS,
  CHARTS,
  type DidItem,
  type EventRef,
  type Exclusion,
  type Funnel,
  type Group,
  type Item,
  MEASURES,
  noFilter,
  OPERATORS,
  ORDERS,
  type Paths,
  PERIODS,
  type Question,
  type Retention,
  type Series,
  type Trend,
} from "./question.ts";

/** The query of an insight, of a dashboard's item, and of a watched query. */
export type Query =
  | { case: "trend"; value: Init<QueryTrendRequest> }
  | { case: "funnel"; value: Init<QueryFunnelRequest> }
  | { case: "retention"; value: Init<QueryRetentionRequest> }
  | { case: "paths"; value: Init<QueryPathsRequest> };

const numberOf = <T>(values: readonly T[], value: T | undefined): number =>
  value === undefined ? 0 : values.indexOf(value) + 1;
const valueAt = <T>(values: readonly T[], number: number): T | undefined => values[number - 1];

/** Absent keys instead of undefined values. */
const present = <T extends object>(values: T): T =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;

export const toRange = ({ range, zone }: Selection): Init<QueryRange> => ({ ...rangeInit(range), timeZone: zone });

type FilterInit = Init<EventFilter>;

function toItem(item: Item): FilterInit {
  const filter = toPlainItem(item);
  return item.not ? { condition: { case: "not", value: filter } } : filter;
}

function toPlainItem(item: Item): FilterInit {
  switch (item.type) {
    case "field":
      return {
        condition: {
          case: "field",
          value: present({
            field: item.field,
            operator: item.op === "is" ? undefined : numberOf(OPERATORS, item.op),
            values: item.values,
          }),
        },
      };
    case "did":
      return {
        condition: {
          case: "did",
          value: present({
            eventName: item.event,
            filter: toFilter(item.where),
            within: item.within === undefined ? undefined : toDuration(item.within * 1000),
            times: item.times,
          }),
        },
      };
    case "group":
      return toList(item.group);
  }
}

const toList = ({ match, items }: Group): FilterInit => ({
  condition: { case: match, value: { filters: items.map(toItem) } },
});

/** Undefined if every event passes. */
export function toFilter(group: Group): FilterInit | undefined {
  if (group.items.length === 0) return group.match === "any" ? toList(group) : undefined;
  const [only] = group.items;
  if (group.items.length > 1 || !only) return toList(group);
  return only.type === "group" && !only.not ? toFilter(only.group) : toItem(only);
}

/** The filters of the page: any of the values of a dimension. */
function pageItems(filters: Filter[] = []): Item[] {
  const dimensions = [...new Set(filters.map(({ dimension }) => dimension))];
  return dimensions.map((field) => ({
    type: "field",
    not: false,
    field,
    op: "is",
    values: filters.filter(({ dimension }) => dimension === field).map(({ value }) => value),
  }));
}

/** What has to be met in addition to the page's filters. */
export function withPageFilters(where: Group, filters: Filter[] | undefined): Group {
  const items = pageItems(filters);
  if (items.length === 0) return where;
  if (where.match === "all") return { match: "all", items: [...items, ...where.items] };
  return { match: "all", items: [...items, { type: "group", not: false, group: where }] };
}

const toStep = ({ event, where }: EventRef): Init<FunnelStep> => present({ eventName: event, filter: toFilter(where) });

const toSeries = ({ measure, property, ...event }: Series): Init<TrendSeries> => ({
  ...toStep(event),
  ...(measure !== "events" && { aggregation: numberOf(MEASURES, measure) }),
  ...(property && { property }),
});

const toExclusion = ({ from, to, ...event }: Exclusion): Init<FunnelExclusion> =>
  present({ ...toStep(event), fromStep: from, toStep: to });

/** What the server computes for a question, with what the page has selected. */
export function toQuery(question: Question, selection: Selection): Query {
  const filter = toFilter(withPageFilters(question.where, selection.filters));
  const range = toRange(selection);
  switch (question.kind) {
    case "trend":
      return {
        case: "trend",
        value: present({
          series: question.series.map(toSeries),
          filter,
          range,
          bucket: numberOf(BUCKETS, question.bucket) || undefined,
          compare: numberOf(COMPARISONS, selection.compare) || undefined,
          formula: question.formula || undefined,
          breakdown: question.by.length > 0 ? question.by : undefined,
          limit: question.top,
        }),
      };
    case "funnel": {
      const { steps, window, order, exclusions, per, by, attribution, bucket, top } = question;
      const step = typeof attribution === "number";
      return {
        case: "funnel",
        value: present({
          steps: steps.map(toStep),
          window: window === undefined ? undefined : toDuration(window * 1000),
          order: order === "sequential" ? undefined : numberOf(ORDERS, order),
          exclusions: exclusions.length > 0 ? exclusions.map(toExclusion) : undefined,
          filter,
          groupBy: per === "visitor" ? undefined : per,
          breakdown: by || undefined,
          attribution: attribution === "first" ? undefined : step ? 3 : 2,
          attributionStep: step ? attribution : undefined,
          limit: top,
          range,
          bucket: numberOf(BUCKETS, bucket) || undefined,
        }),
      };
    }
    case "retention": {
      const { start, back, period, periods, recurring, orAfter, rolling, plain, by, top } = question;
      const { zone } = selection;
      const end = typeof selection.range === "string" ? undefined : selection.range.to;
      return {
        case: "retention",
        value: present({
          start: toStep(start),
          return: toStep(back),
          period: numberOf(PERIODS, period),
          periods,
          kind: recurring ? 2 : undefined,
          criterion: orAfter ? 2 : undefined,
          basis: rolling ? 2 : undefined,
          mean: plain ? 2 : undefined,
          filter,
          breakdown: by || undefined,
          limit: top,
          timeZone: zone,
          // The period that ends with the range, not the one after it.
          end: end === undefined ? undefined : toTimestamp(end - 1),
        }),
      };
    }
    case "paths": {
      const { event, before, only, field, rules, steps, top } = question;
      return {
        case: "paths",
        value: present({
          event: event && toStep(event),
          before: before || undefined,
          eventNames: only.length > 0 ? only : undefined,
          filter,
          field: field || undefined,
          rules: rules.length > 0 ? rules : undefined,
          steps,
          limit: top,
          range,
        }),
      };
    }
  }
}

export const chartNumber = (chart: Question["chart"]): number => numberOf(CHARTS, chart);

function fromItem(filter: FilterInit): Item {
  const { condition } = filter;
  switch (condition?.case) {
    case "not": {
      const item = fromItem(condition.value as FilterInit);
      return item.not ? { type: "group", not: true, group: { match: "all", items: [item] } } : { ...item, not: true };
    }
    case "field": {
      const {
        field = "",
        operator = 0,
        values = [],
      } = condition.value as { field?: string; operator?: number; values?: string[] };
      return { type: "field", not: false, field, op: valueAt(OPERATORS, operator) ?? "is", values: [...values] };
    }
    case "did": {
      const {
        eventName = "",
        filter: where,
        within,
        times,
      } = condition.value as {
        eventName?: string;
        filter?: FilterInit;
        within?: { seconds: bigint; nanos: number };
        times?: number;
      };
      const did: DidItem = { type: "did", not: false, event: eventName, where: fromFilter(where) };
      if (times !== undefined) did.times = times;
      if (within) did.within = Math.round(durationMs(within) / 1000);
      return did;
    }
    default:
      return { type: "group", not: false, group: fromFilter(filter) };
  }
}

function fromFilter(filter: FilterInit | undefined): Group {
  const condition = filter?.condition;
  if (!filter || !condition?.case) return noFilter();
  if (condition.case !== "all" && condition.case !== "any") return { match: "all", items: [fromItem(filter)] };
  const { filters = [] } = condition.value as { filters?: FilterInit[] };
  return { match: condition.case, items: filters.map(fromItem) };
}

const fromStep = (step: Init<FunnelStep> | undefined): EventRef => ({
  event: step?.eventName ?? "",
  where: fromFilter(step?.filter as FilterInit | undefined),
});

/** The question of a query. The range and the comparison are left to the page. */
export function fromQuery(query: Query, chartValue = 0): Question {
  const chart = valueAt(CHARTS, chartValue);
  const { filter, limit } = query.value;
  const common = { where: fromFilter(filter as FilterInit | undefined), top: limit, chart };
  switch (query.case) {
    case "trend": {
      const { series = [], formula = "", breakdown = [], bucket = 0 } = query.value;
      return present<Trend>({
        kind: "trend",
        series: series.map((each) => ({
          ...fromStep(each),
          measure: valueAt(MEASURES, each.aggregation ?? 0) ?? "events",
          property: each.property ?? "",
        })),
        formula,
        by: [...breakdown],
        bucket: valueAt(BUCKETS, bucket),
        ...common,
      });
    }
    case "funnel": {
      const {
        steps = [],
        window,
        order = 0,
        exclusions = [],
        groupBy,
        breakdown = "",
        attribution = 0,
        bucket = 0,
      } = query.value;
      return present<Funnel>({
        kind: "funnel",
        steps: steps.map(fromStep),
        window: window && Math.round(durationMs(window as { seconds: bigint; nanos: number }) / 1000),
        order: valueAt(ORDERS, order) ?? "sequential",
        exclusions: exclusions.map(({ fromStep: from, toStep: to, ...event }) =>
          present({ ...fromStep(event), from: from || undefined, to: to || undefined }),
        ),
        per: groupBy || "visitor",
        by: breakdown,
        attribution: attribution === 3 ? (query.value.attributionStep ?? 1) : attribution === 2 ? "last" : "first",
        bucket: valueAt(BUCKETS, bucket),
        ...common,
      });
    }
    case "retention": {
      const { start, return: back, period = 0, periods, kind, criterion, basis, mean, breakdown = "" } = query.value;
      return present<Retention>({
        kind: "retention",
        start: fromStep(start),
        back: fromStep(back),
        period: valueAt(PERIODS, period) ?? "week",
        periods,
        recurring: kind === 2,
        orAfter: criterion === 2,
        rolling: basis === 2,
        plain: mean === 2,
        by: breakdown,
        ...common,
      });
    }
    case "paths": {
      const { event, before = false, eventNames = [], field = "", rules = [], steps } = query.value;
      return present<Paths>({
        kind: "paths",
        event: event && fromStep(event),
        before,
        only: [...eventNames],
        field,
        rules: rules.map(({ pattern = "", name = "" }) => ({ pattern, name })),
        steps,
        ...common,
      });
    }
  }
}

/** Undefined if the insight has no query that this page knows. */
export const fromInsight = ({ query, chart }: Pick<Insight, "query" | "chart">): Question | undefined =>
  query.case === undefined ? undefined : fromQuery(query as Query, chart);
