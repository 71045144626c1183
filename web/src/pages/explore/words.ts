// Questions in words: names of lines, and titles.

import { shareWords } from "../../query/rate.ts";
import { eventName, fieldWords, valueWords } from "../../shell/pickers/fields.ts";
import type { EventRef, Group, Item, Measure, Operator, Question, Series, Trend } from "./question.ts";
import { rateOf } from "./rate.ts";

export const MEASURE_WORDS: Record<Measure, string> = {
  events: "Events",
  visitors: "Visitors",
  sessions: "Sessions",
  "per-visitor": "Events per visitor",
  sum: "Sum of",
  avg: "Average of",
  min: "Minimum of",
  max: "Maximum of",
  p50: "Median of",
  p90: "90th percentile of",
  p95: "95th percentile of",
  p99: "99th percentile of",
  unlinked: "Visitors, not linked",
};

export const OPERATOR_WORDS: Record<Operator, string> = {
  is: "is",
  "is-not": "is not",
  contains: "contains",
  lacks: "does not contain",
  matches: "matches",
  gt: ">",
  gte: "≥",
  lt: "<",
  lte: "≤",
  between: "between",
  set: "is set",
  unset: "is not set",
};

export function seriesWords(series: Series | undefined): string {
  if (!series) return "";
  const { event, measure, property, where } = series;
  const name = eventName(event);
  const filtered = where.items.length > 0 ? ` (${groupWords(where)})` : "";
  if (measure === "events") return name + filtered;
  const what = MEASURE_WORDS[measure].toLowerCase();
  return `${name}: ${what}${property ? ` ${fieldWords(property)}` : ""}${filtered}`;
}

/** "error_occurred, share of all events". */
export function rateWords([part, whole]: [part: Series, whole: Series]): string {
  const named = whole.event || whole.where.items.length > 0 ? seriesWords(whole) : undefined;
  const { measure } = whole;
  const counted =
    measure === "unlinked" ? "visitors" : measure === "visitors" || measure === "sessions" ? measure : "events";
  return shareWords(seriesWords(part), named, counted);
}

function formulaWords(trend: Trend): string {
  const rate = rateOf(trend);
  if (rate) return rateWords(rate);
  // "100 * signup_completed / page_view": letters say nothing where the series are not listed.
  return trend.formula.trim().replaceAll(/\b[A-Z]\b/g, (letter) => {
    const index = letter.charCodeAt(0) - 65;
    return seriesWords(trend.series[index]) || letter;
  });
}

export function itemWords(item: Item): string {
  const not = item.not ? "not " : "";
  switch (item.type) {
    case "field": {
      const values =
        item.op === "between"
          ? item.values.join(" and ")
          : item.values.map((value) => valueWords(item.field, value)).join(" or ");
      return `${not}${fieldWords(item.field)} ${OPERATOR_WORDS[item.op]}${values ? ` ${values}` : ""}`;
    }
    case "did":
      return `${item.not ? "did not do" : "did"} ${eventRefWords(item)}`;
    case "group":
      return `${not}(${groupWords(item.group)})`;
  }
}

export const groupWords = ({ match, items }: Group): string =>
  items.map(itemWords).join(match === "any" ? " or " : " and ");

const eventRefWords = ({ event, where }: EventRef): string =>
  where.items.length > 0 ? `${eventName(event)} (${groupWords(where)})` : eventName(event);

/** A heading: "login by country". */
/** " by plan and release". */
export function byWords(fields: string[]): string {
  const named = fields.filter(Boolean).map(fieldWords);
  return named.length > 0 ? ` by ${named.join(" and ")}` : "";
}

export function questionWords(question: Question): string {
  const filtered = question.where.items.length > 0 ? `, ${groupWords(question.where)}` : "";
  switch (question.kind) {
    case "trend": {
      const what = formulaWords(question) || question.series.map(seriesWords).join(", ");
      return `${what}${byWords(question.by)}${filtered}`;
    }
    case "funnel":
      return `${question.steps.map(eventRefWords).join(" → ")}${byWords([question.by])}${filtered}`;
    case "retention": {
      const { start, back, period } = question;
      return `${eventRefWords(start)}, then ${eventRefWords(back)} by ${period}${byWords([question.by])}${filtered}`;
    }
    case "paths":
      return `Paths ${question.before ? "to" : "from"} ${question.event ? eventRefWords(question.event) : "the start of visits"}${filtered}`;
  }
}
