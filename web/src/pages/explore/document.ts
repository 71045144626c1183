// A question as a document with the field names of the contract: the body of a request over HTTP, and the file of an insight.

import { toFilters } from "../../api/selection.ts";
import { isoWithOffset } from "../../lib/time.ts";
import type { Selection } from "../../query/query.ts";
import type { Bucket, Chart, EventRef, Group, Item, Measure, Operator, Question } from "./question.ts";
import { withPageFilters } from "./request.ts";
import type { SqlView } from "./sqlAddress.ts";
import { durationText } from "./text.ts";

export type Value = string | number | boolean | Value[] | { [key: string]: Value | undefined };
type Fields = { [key: string]: Value | undefined };

const OPERATOR_NAMES: Record<Operator, string> = {
  is: "IS",
  "is-not": "IS_NOT",
  contains: "CONTAINS",
  lacks: "DOES_NOT_CONTAIN",
  matches: "MATCHES",
  gt: "GREATER",
  gte: "GREATER_OR_EQUAL",
  lt: "LESS",
  lte: "LESS_OR_EQUAL",
  between: "BETWEEN",
  set: "IS_SET",
  unset: "IS_NOT_SET",
};

const MEASURE_NAMES: Record<Measure, string> = {
  events: "EVENTS",
  visitors: "VISITORS",
  sessions: "SESSIONS",
  "per-visitor": "EVENTS_PER_VISITOR",
  sum: "SUM",
  avg: "AVERAGE",
  min: "MIN",
  max: "MAX",
  p50: "P50",
  p90: "P90",
  p95: "P95",
  p99: "P99",
  unlinked: "UNLINKED_VISITORS",
};

const BUCKET_NAMES: Record<Bucket, string> = {
  "1m": "MINUTE",
  "5m": "5_MINUTES",
  "15m": "QUARTER_HOUR",
  "30m": "HALF_HOUR",
  "1h": "HOUR",
  "2h": "2_HOURS",
  "6h": "6_HOURS",
  day: "DAY",
  week: "WEEK",
};

const CHART_NAMES: Record<Chart, string> = {
  line: "line",
  area: "area",
  stacked: "stacked",
  bar: "bar",
  ranking: "horizontal_bar",
  number: "number",
  table: "table",
  steps: "steps",
  time: "time_to_convert",
  flow: "flow",
};

/** Files may have short forms: the end of an enumeration's name in lower case, "14d", lists without their message. */
class Writer {
  constructor(private readonly short: boolean) {}

  private name(type: string, name: string): string {
    return this.short ? name.toLowerCase() : `${type}_${name}`;
  }

  private duration(seconds: number): string {
    return this.short ? durationText(seconds) : `${seconds}s`;
  }

  private item(item: Item): Fields {
    const plain = this.plainItem(item);
    return item.not ? { not: plain } : plain;
  }

  private plainItem(item: Item): Fields {
    switch (item.type) {
      case "field": {
        const operator = item.op === "is" ? undefined : this.name("FIELD_OPERATOR", OPERATOR_NAMES[item.op]);
        return { field: { field: item.field, operator, values: list(item.values) } };
      }
      case "did": {
        const { event, where, within, times } = item;
        return {
          did: {
            event_name: event || undefined,
            filter: this.filter(where),
            within: within === undefined ? undefined : this.duration(within),
            times,
          },
        };
      }
      case "group":
        return this.list(item.group);
    }
  }

  private list({ match, items }: Group): Fields {
    const filters = items.map((item) => this.item(item));
    return { [match]: this.short ? filters : { filters } };
  }

  filter(group: Group): Fields | undefined {
    const [only] = group.items;
    if (group.items.length === 0) return group.match === "any" ? this.list(group) : undefined;
    if (group.items.length > 1 || !only) return this.list(group);
    return only.type === "group" && !only.not ? this.filter(only.group) : this.item(only);
  }

  private event({ event, where }: EventRef): Fields {
    return { event_name: event || undefined, filter: this.filter(where) };
  }

  range({ range, zone }: Selection): Fields {
    const time_zone = zone;
    if (typeof range === "string")
      return { time_range: this.name("TIME_RANGE", range.replaceAll("-", "_").toUpperCase()), time_zone };
    const at = (time: number | undefined) => (time === undefined ? undefined : isoWithOffset(time, zone));
    return { interval: { start: at(range.from), end: at(range.to) }, time_zone };
  }

  private bucket(bucket: Bucket | undefined): string | undefined {
    return bucket && this.name("BUCKET", BUCKET_NAMES[bucket]);
  }

  query(question: Question, selection: Selection): Fields {
    const filter = this.filter(withPageFilters(question.where, selection.filters));
    switch (question.kind) {
      case "trend": {
        const { compare } = selection;
        const earlier = compare && (compare === "week" ? "WEEK_AGO" : "PREVIOUS_PERIOD");
        return {
          series: question.series.map(({ measure, property, ...event }) => ({
            ...this.event(event),
            aggregation: measure === "events" ? undefined : this.name("AGGREGATION", MEASURE_NAMES[measure]),
            property: property || undefined,
          })),
          filter,
          range: this.range(selection),
          bucket: this.bucket(question.bucket),
          compare: earlier && this.name("COMPARE", earlier),
          formula: question.formula || undefined,
          breakdown: list(question.by),
          limit: question.top,
        };
      }
      case "funnel": {
        const { steps, window, order, exclusions, per, by, attribution, bucket, top } = question;
        const step = typeof attribution === "number" ? attribution : undefined;
        return {
          steps: steps.map((each) => this.event(each)),
          window: window === undefined ? undefined : this.duration(window),
          order: order === "sequential" ? undefined : this.name("FUNNEL_ORDER", order.toUpperCase()),
          exclusions: list(
            exclusions.map(({ from, to, ...event }) => ({ ...this.event(event), from_step: from, to_step: to })),
          ),
          filter,
          group_by: per === "visitor" ? undefined : per,
          breakdown: by || undefined,
          attribution:
            attribution === "first" ? undefined : this.name("FUNNEL_ATTRIBUTION", step === undefined ? "LAST" : "STEP"),
          attribution_step: step,
          limit: top,
          range: this.range(selection),
          bucket: this.bucket(bucket),
        };
      }
      case "retention": {
        const { start, back, period, periods, recurring, orAfter, rolling, plain, by, top } = question;
        const { range, zone } = selection;
        const end = typeof range === "string" ? undefined : range.to;
        return {
          start: this.event(start),
          return: this.event(back),
          period: this.name("RETENTION_PERIOD", period.toUpperCase()),
          periods,
          kind: recurring ? this.name("RETENTION_KIND", "RECURRING") : undefined,
          criterion: orAfter ? this.name("RETENTION_CRITERION", "ON_OR_AFTER") : undefined,
          basis: rolling ? this.name("RETENTION_BASIS", "ROLLING") : undefined,
          mean: plain ? this.name("RETENTION_MEAN", "PLAIN") : undefined,
          filter,
          breakdown: by || undefined,
          limit: top,
          time_zone: zone,
          end: end === undefined ? undefined : isoWithOffset(end - 1, zone),
        };
      }
      case "paths": {
        const { event, before, only, field, rules, steps, top } = question;
        return {
          event: event && this.event(event),
          before: before || undefined,
          event_names: list(only),
          filter,
          field: field || undefined,
          rules: list(rules.map(({ pattern, name }) => ({ pattern, name: name || undefined }))),
          steps,
          limit: top,
          range: this.range(selection),
        };
      }
    }
  }
}

const list = <T extends Value>(values: T[]): T[] | undefined => (values.length > 0 ? values : undefined);

/** The body of a request over HTTP. */
export const requestJson = (question: Question, selection: Selection): string =>
  JSON.stringify(new Writer(false).query(question, selection));

/** A command that computes the question. */
export function curlCommand(question: Question, selection: Selection, base: string): string {
  return curl(new URL(`api/query/${question.kind}`, base), requestJson(question, selection));
}

/** A command that executes a statement. */
export function sqlCurlCommand({ sql, values }: SqlView, selection: Selection, base: string): string {
  const body = JSON.stringify({
    sql,
    range: new Writer(false).range(selection),
    filters: selection.filters?.length ? toFilters(selection.filters) : undefined,
    parameters: Object.keys(values).length > 0 ? values : undefined,
  });
  return curl(new URL("api/query/sql", base), body);
}

/** In a shell's single quotes. */
const curl = (url: URL, body: string): string => `curl '${url}' \\\n  -d '${body.replaceAll("'", "'\\''")}'`;

export interface Names {
  title: string;
  description: string;
}

/** The file of an insight. */
export function insightYaml(question: Question, selection: Selection, { title, description }: Names): string {
  return yaml({
    title,
    description: description || undefined,
    chart: question.chart && CHART_NAMES[question.chart],
    [question.kind]: new Writer(true).query(question, selection),
  });
}

/** Plain scalars that no YAML parser reads as something else. */
const PLAIN = /^([A-Za-z_/][\w ./-]*|\d+[dhms])$/;
const WORDS = /^(true|false|yes|no|on|off|null|y|n|~)$/i;

const scalar = (value: string | number | boolean): string =>
  typeof value !== "string" || (PLAIN.test(value) && !WORDS.test(value) && value === value.trimEnd())
    ? String(value)
    : JSON.stringify(value);

const isScalar = (value: Value): value is string | number | boolean => typeof value !== "object";

/** Documents of maps, lists and scalars. */
export function yaml(document: Fields): string {
  return mapLines(document).join("\n").concat("\n");
}

function mapLines(map: Fields): string[] {
  return Object.entries(map).flatMap(([key, value]) => {
    if (value === undefined) return [];
    if (isScalar(value)) return [`${key}: ${scalar(value)}`];
    if (Array.isArray(value)) {
      if (value.every(isScalar)) return [`${key}: [${value.map(flowScalar).join(", ")}]`];
      return [`${key}:`, ...value.flatMap((item) => indent(itemLines(item)))];
    }
    const lines = mapLines(value);
    return lines.length === 0 ? [`${key}: {}`] : [`${key}:`, ...indent(lines)];
  });
}

const flowScalar = (value: string | number | boolean): string => scalar(value);

function itemLines(item: Value): string[] {
  if (isScalar(item)) return [`- ${scalar(item)}`];
  const lines = Array.isArray(item) ? item.flatMap(itemLines) : mapLines(item);
  const [first = "{}", ...rest] = lines;
  return [`- ${first}`, ...indent(rest)];
}

const indent = (lines: string[]): string[] => lines.map((line) => `  ${line}`);
