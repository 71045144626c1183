// A question as search parameters: short, readable, without defaults.

import type { Search } from "../../shell/view.ts";
import {
  BUCKETS,
  CHARTS,
  type Common,
  type Funnel,
  KINDS,
  type Kind,
  noFilter,
  ORDERS,
  type Paths,
  PERIODS,
  type Question,
  type Retention,
  type Trend,
} from "./question.ts";
import {
  durationText,
  eventText,
  exclusionText,
  groupText,
  parseDuration,
  parseEvent,
  parseExclusion,
  parseGroup,
  parseRule,
  parseSeries,
  ruleText,
  seriesText,
} from "./text.ts";

/** The parameters of a question, in the order in which an address has them. */
export const KEYS = [
  "q",
  "s",
  "formula",
  "where",
  "by",
  "top",
  "bucket",
  "window",
  "order",
  "not",
  "per",
  "at",
  "period",
  "periods",
  "cohort",
  "counts",
  "basis",
  "mean",
  "before",
  "only",
  "field",
  "rule",
  "steps",
  "chart",
] as const;
type Key = (typeof KEYS)[number];

/** The name of the saved insight that is open. */
export const INSIGHT_KEY = "insight";

type Parameters = Partial<Record<Key, string | string[] | undefined>>;

const unless = <T extends string>(value: T, fallback: T): T | undefined => (value === fallback ? undefined : value);
const number = (value: number | undefined): string | undefined => (value === undefined ? undefined : String(value));
const flag = (value: boolean, word: string): string | undefined => (value ? word : undefined);
const list = (values: string[]): string[] | undefined => (values.length > 0 ? values : undefined);

function common({ where, top, chart }: Common): Parameters {
  const filtered = where.items.length > 0 || where.match === "any";
  return { where: filtered ? groupText(where) : undefined, top: number(top), chart };
}

function parameters(question: Question): Parameters {
  const rest = common(question);
  switch (question.kind) {
    case "trend":
      return {
        ...rest,
        // Without an event nothing would say that there is a question.
        q: question.series.length === 0 ? "trend" : undefined,
        s: list(question.series.map(seriesText)),
        formula: question.formula || undefined,
        by: list(question.by),
        bucket: question.bucket,
      };
    case "funnel": {
      const { steps, window, order, exclusions, per, by, attribution, bucket } = question;
      return {
        ...rest,
        q: "funnel",
        s: list(steps.map(eventText)),
        window: window === undefined ? undefined : durationText(window),
        order: unless(order, "sequential"),
        not: list(exclusions.map(exclusionText)),
        per: unless(per, "visitor"),
        by: by || undefined,
        at: unless(String(attribution), "first"),
        bucket,
      };
    }
    case "retention": {
      const { start, back, period, periods, recurring, orAfter, rolling, plain, by } = question;
      return {
        ...rest,
        q: "retention",
        s: [eventText(start), eventText(back)],
        period: unless(period, "week"),
        periods: number(periods),
        cohort: flag(recurring, "recurring"),
        counts: flag(orAfter, "later"),
        basis: flag(rolling, "rolling"),
        mean: flag(plain, "plain"),
        by: by || undefined,
      };
    }
    case "paths": {
      const { event, before, only, field, rules, steps } = question;
      return {
        ...rest,
        q: "paths",
        s: event && [eventText(event)],
        before: flag(before, "1"),
        only: list(only),
        field: field || undefined,
        rule: list(rules.map(ruleText)),
        steps: number(steps),
      };
    }
  }
}

/** The search parameters with this question, or without any. */
export function writeQuestion(question: Question | undefined, search: Search = {}): Search {
  const own: Parameters = question ? parameters(question) : {};
  const written: Search = { ...search };
  for (const key of KEYS) delete written[key];
  for (const key of KEYS) if (own[key] !== undefined) written[key] = own[key];
  return written;
}

/** Equal questions have equal texts. */
export function questionText(question: Question): string {
  const written = writeQuestion(question);
  return KEYS.flatMap((key) => [written[key] ?? []].flat().map((value) => `${key}=${value}`)).join("\n");
}

export interface Read {
  /** Undefined if the address has none. */
  question?: Question;
  /** Parameters that cannot be read: "where=country_code". */
  rejected: string[];
}

/** What cannot be read is left out, and said. */
export function readQuestion(search: Search): Read {
  const reader = new Reader(search);
  const q = reader.text("q");
  if (q === "" && reader.texts("s").length === 0) return { rejected: [] };
  const kind = reader.one("q", KINDS) ?? "trend";
  const question = READERS[kind](reader);
  return { question, rejected: reader.rejected };
}

class Reader {
  readonly rejected: string[] = [];

  constructor(private readonly search: Search) {}

  texts(key: Key): string[] {
    return [this.search[key] ?? []].flat().map(String);
  }

  text(key: Key): string {
    return this.texts(key)[0] ?? "";
  }

  /** The values that can be read. */
  all<T>(key: Key, parse: (text: string) => T | undefined): T[] {
    const values: T[] = [];
    for (const text of this.texts(key)) {
      const value = parse(text);
      if (value === undefined) this.reject(key, text);
      else values.push(value);
    }
    return values;
  }

  first<T>(key: Key, parse: (text: string) => T | undefined): T | undefined {
    const text = this.text(key);
    if (text === "") return undefined;
    const value = parse(text);
    if (value === undefined) this.reject(key, text);
    return value;
  }

  one<T extends string>(key: Key, values: readonly T[]): T | undefined {
    return this.first(key, (text) => values.find((value) => value === text));
  }

  number(key: Key): number | undefined {
    return this.first(key, (text) => (/^\d{1,9}$/.test(text) ? Number(text) : undefined));
  }

  flag(key: Key, word: string): boolean {
    return this.one(key, [word]) !== undefined;
  }

  common(): Common {
    const shared: Common = { where: this.first("where", parseGroup) ?? noFilter() };
    const top = this.number("top");
    const chart = this.one("chart", CHARTS);
    if (top !== undefined) shared.top = top;
    if (chart !== undefined) shared.chart = chart;
    return shared;
  }

  private reject(key: Key, text: string): void {
    this.rejected.push(`${key}=${text}`);
  }
}

/** Absent keys instead of undefined values, so that equal questions are equal objects. */
const present = <T extends object>(values: T): T =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;

const READERS: Record<Kind, (reader: Reader) => Question> = {
  trend: (reader): Trend =>
    present({
      kind: "trend",
      series: reader.all("s", parseSeries).slice(0, 10),
      formula: reader.text("formula"),
      by: reader.texts("by").slice(0, 2),
      bucket: reader.one("bucket", BUCKETS),
      ...reader.common(),
    }),
  funnel: (reader): Funnel =>
    present({
      kind: "funnel",
      steps: reader.all("s", parseEvent).slice(0, 10),
      window: reader.first("window", parseDuration),
      order: reader.one("order", ORDERS) ?? "sequential",
      exclusions: reader.all("not", parseExclusion),
      per: reader.text("per") || "visitor",
      by: reader.text("by"),
      attribution:
        reader.first("at", (text) => (text === "last" ? "last" : /^\d{1,2}$/.test(text) ? Number(text) : undefined)) ??
        "first",
      bucket: reader.one("bucket", BUCKETS),
      ...reader.common(),
    }),
  retention: (reader): Retention => {
    const [start, back] = reader.all("s", parseEvent);
    return present({
      kind: "retention",
      start: start ?? { event: "", where: noFilter() },
      back: back ?? start ?? { event: "", where: noFilter() },
      period: reader.one("period", PERIODS) ?? "week",
      periods: reader.number("periods"),
      recurring: reader.flag("cohort", "recurring"),
      orAfter: reader.flag("counts", "later"),
      rolling: reader.flag("basis", "rolling"),
      plain: reader.flag("mean", "plain"),
      by: reader.text("by"),
      ...reader.common(),
    });
  },
  paths: (reader): Paths => {
    const [event] = reader.all("s", parseEvent);
    return present({
      kind: "paths",
      event,
      before: reader.flag("before", "1"),
      only: reader.texts("only"),
      field: reader.text("field"),
      rules: reader.all("rule", parseRule),
      steps: reader.number("steps"),
      ...reader.common(),
    });
  },
};
