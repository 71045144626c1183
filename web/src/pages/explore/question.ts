// What Explore computes: a trend, a funnel, a retention or paths. The range, the zone and the comparison are those of the page.

export const OPERATORS = [
  "is",
  "is-not",
  "contains",
  "lacks",
  "matches",
  "gt",
  "gte",
  "lt",
  "lte",
  "between",
  "set",
  "unset",
] as const;
export type Operator = (typeof OPERATORS)[number];

/** In the order of the contract's enumeration. */
export const MEASURES = [
  "events",
  "visitors",
  "sessions",
  "per-visitor",
  "sum",
  "avg",
  "min",
  "max",
  "p50",
  "p90",
  "p95",
  "p99",
  "unlinked",
] as const;
export type Measure = (typeof MEASURES)[number];

const OF_PROPERTY: readonly Measure[] = ["sum", "avg", "min", "max", "p50", "p90", "p95", "p99"];
/** Whether the measure is computed from the values of a property. */
export const needsProperty = (measure: Measure): boolean => OF_PROPERTY.includes(measure);

export const BUCKETS = ["1m", "5m", "15m", "30m", "1h", "2h", "6h", "day", "week"] as const;
export type Bucket = (typeof BUCKETS)[number];

/** In the order of the contract's enumeration. */
export const CHARTS = [
  "line",
  "area",
  "stacked",
  "bar",
  "ranking",
  "number",
  "table",
  "steps",
  "time",
  "flow",
] as const;
export type Chart = (typeof CHARTS)[number];

export const ORDERS = ["sequential", "strict", "any"] as const;
export type FunnelOrder = (typeof ORDERS)[number];

export const PERIODS = ["hour", "day", "week", "month"] as const;
export type Period = (typeof PERIODS)[number];

export interface FieldItem {
  type: "field";
  not: boolean;
  field: string;
  op: Operator;
  values: string[];
}

/** The visitor did an event. */
export interface DidItem {
  type: "did";
  not: boolean;
  event: string;
  where: Group;
  /** At least so many times. */
  times?: number;
  /** In seconds before the end of the range. */
  within?: number;
}

interface GroupItem {
  type: "group";
  not: boolean;
  group: Group;
}

export type Item = FieldItem | DidItem | GroupItem;

/** Conditions, of which all or any have to be met. */
export interface Group {
  match: "all" | "any";
  items: Item[];
}

/** An event, and what it has to meet. */
export interface EventRef {
  /** Empty for any event. */
  event: string;
  where: Group;
}

export interface Series extends EventRef {
  measure: Measure;
  /** Of the measures that need one. */
  property: string;
}

export interface Exclusion extends EventRef {
  from?: number;
  to?: number;
}

export interface Common {
  where: Group;
  /** How many values of the breakdown, or transitions, are told apart. */
  top?: number;
  chart?: Chart;
}

export interface Trend extends Common {
  kind: "trend";
  series: Series[];
  formula: string;
  by: string[];
  bucket?: Bucket;
}

export interface Funnel extends Common {
  kind: "funnel";
  steps: EventRef[];
  /** In seconds. */
  window?: number;
  order: FunnelOrder;
  exclusions: Exclusion[];
  /** "visitor", "session" or a field. */
  per: string;
  by: string;
  /** A number is a step, from 1. */
  attribution: "first" | "last" | number;
  bucket?: Bucket;
}

export interface Retention extends Common {
  kind: "retention";
  start: EventRef;
  back: EventRef;
  period: Period;
  periods?: number;
  /** Visitors are in the cohort of each start, not only of their first one. */
  recurring: boolean;
  /** A visitor who comes back later counts for the periods before, too. */
  orAfter: boolean;
  /** Periods begin at the start event of the visitor. */
  rolling: boolean;
  /** Every cohort has the same weight in the mean. */
  plain: boolean;
  by: string;
}

export interface PathRule {
  pattern: string;
  name: string;
}

export interface Paths extends Common {
  kind: "paths";
  /** Where paths begin or end. Without one they begin with each visit. */
  event?: EventRef;
  before: boolean;
  only: string[];
  field: string;
  rules: PathRule[];
  steps?: number;
}

export type Question = Trend | Funnel | Retention | Paths;
export type Kind = Question["kind"];
export const KINDS = ["trend", "funnel", "retention", "paths"] as const satisfies Kind[];

/** What the questions of a kind can be drawn as, the default first. */
export const OFFERED_CHARTS: Record<Kind, readonly [Chart, ...Chart[]]> = {
  trend: ["line", "area", "stacked", "bar", "ranking", "number", "table"],
  funnel: ["steps", "line", "time", "table"],
  retention: ["table", "line"],
  paths: ["flow", "table"],
};

/** What a question is drawn as. */
export function chartOf({ kind, chart }: Pick<Question, "kind" | "chart">): Chart {
  const offered = OFFERED_CHARTS[kind];
  return chart && offered.includes(chart) ? chart : offered[0];
}

export const noFilter = (): Group => ({ match: "all", items: [] });
export const eventRef = (event: string): EventRef => ({ event, where: noFilter() });
export const seriesOf = (event: string, measure: Measure = "events"): Series => ({
  ...eventRef(event),
  measure,
  property: "",
});

export const trendOf = (series: Series[]): Trend => ({
  kind: "trend",
  series,
  formula: "",
  by: [],
  where: noFilter(),
});

export const funnelOf = (events: string[]): Funnel => ({
  kind: "funnel",
  steps: events.map(eventRef),
  order: "sequential",
  exclusions: [],
  per: "visitor",
  by: "",
  attribution: "first",
  where: noFilter(),
});

export const retentionOf = (start: string, back: string): Retention => ({
  kind: "retention",
  start: eventRef(start),
  back: eventRef(back),
  period: "week",
  recurring: false,
  orAfter: false,
  rolling: false,
  plain: false,
  by: "",
  where: noFilter(),
});

export const pathsOf = (event?: string): Paths => ({
  kind: "paths",
  ...(event !== undefined && { event: eventRef(event) }),
  before: false,
  only: [],
  field: "",
  rules: [],
  where: noFilter(),
});

/** The events of a question, in their order. */
export function eventsOf(question: Question): EventRef[] {
  switch (question.kind) {
    case "trend":
      return question.series;
    case "funnel":
      return question.steps;
    case "retention":
      return [question.start, question.back];
    case "paths":
      return question.event ? [question.event] : [];
  }
}

/** The same events and filter as another kind of question, so that nothing has to be picked twice. */
export function asKind(question: Question, kind: Kind): Question {
  if (question.kind === kind) return question;
  const events = eventsOf(question);
  const first = events[0] ?? eventRef("");
  const second = events[1] ?? first;
  const by = question.kind === "paths" ? "" : (question.kind === "trend" ? question.by[0] : question.by) || "";
  const where = question.where;
  switch (kind) {
    case "trend":
      return {
        ...trendOf(events.slice(0, 10).map((event) => ({ ...seriesOf(event.event), where: event.where }))),
        by: by ? [by] : [],
        where,
      };
    case "funnel":
      return { ...funnelOf([]), steps: plainEvents(events.length > 1 ? events : [first]), by, where };
    case "retention":
      return {
        ...retentionOf("", ""),
        start: plainEvents([first])[0] ?? first,
        back: plainEvents([second])[0] ?? second,
        by,
        where,
      };
    case "paths":
      return { ...pathsOf(), ...(events[0] && { event: plainEvents([first])[0] }), where };
  }
}

const plainEvents = (events: EventRef[]): EventRef[] => events.map(({ event, where }) => ({ event, where }));

export const seriesLetter = (index: number): string => String.fromCharCode(65 + index);

/** With this value, or without one: what has its default is left out of an address. */
export function withValue<T extends object, Key extends keyof T>(item: T, key: Key, value: T[Key] | undefined): T {
  const { [key]: _, ...rest } = item;
  return (value === undefined ? rest : { ...rest, [key]: value }) as T;
}
