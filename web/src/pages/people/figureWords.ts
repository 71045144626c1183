// What a figure counts, in words: "people who completed signup_started → signup_completed".

import type { Figure } from "../../api/figureAddress.ts";
import {
  durationMs,
  type EventFilter,
  FieldOperator,
  FunnelOrder,
  type QueryRange,
  RetentionPeriod,
  timestampMs,
} from "../../api/messages.ts";
import { presetOf } from "../../api/selection.ts";
import { countryName, formatDuration } from "../../lib/format.ts";
import { formatInstant } from "../../lib/time.ts";
import { type Range, rangeWords } from "../../query/range.ts";
import { fieldWords } from "../live/texts.ts";

export interface FigureWords {
  /** After the number: "people who did page_view". */
  people: string;
  /** What else it is about: time, filters. */
  details: string[];
}

/** Times are shown in the figure's own zone: its days are those of that zone. */
export function figureWords(figure: Figure, zone: string, now: number): FigureWords {
  switch (figure.case) {
    case "trend": {
      const { query, series, breakdown, isOther, bucket } = figure.value;
      const one = query?.series[series];
      const own = query?.range?.timeZone ?? zone;
      const parts = query?.breakdown ?? [];
      return {
        people: `people who did ${eventWords(one?.eventName)}`,
        details: [
          ...(isOther ? ["any other value of the breakdown"] : []),
          ...breakdown.map((value, index) => valueWords(parts[index] ?? "", value)),
          ...(bucket ? [`from ${formatInstant(timestampMs(bucket), own, now)}, one bucket`] : []),
          ...rangeDetail(bucket ? undefined : query?.range, own, now),
          ...filterDetail(one?.filter),
          ...filterDetail(query?.filter),
        ],
      };
    }
    case "funnel": {
      const { query, step, dropped, breakdown, bucket } = figure.value;
      const steps = (query?.steps ?? []).map(({ eventName }) => eventWords(eventName));
      const own = query?.range?.timeZone ?? zone;
      const group =
        query?.groupBy === "" || query?.groupBy === "visitor" ? "people who" : `${groupWords(query?.groupBy)} that`;
      return {
        people: `${group} ${funnelWords(steps, step, dropped)}`,
        details: [
          ...(query?.window ? [`within ${formatDuration(durationMs(query.window))}`] : []),
          ...(query?.order === FunnelOrder.ANY ? ["in any order"] : []),
          ...(query?.order === FunnelOrder.STRICT ? ["with nothing between"] : []),
          ...(breakdown === undefined ? [] : [valueWords(query?.breakdown ?? "", breakdown)]),
          ...(bucket ? [`entered from ${formatInstant(timestampMs(bucket), own, now)}, one bucket`] : []),
          ...rangeDetail(bucket ? undefined : query?.range, own, now),
          ...filterDetail(query?.filter),
        ],
      };
    }
    case "retention": {
      const { query, cohort, period, dropped, breakdown } = figure.value;
      const own = query?.timeZone ?? zone;
      const unit = PERIODS[query?.period ?? RetentionPeriod.UNSPECIFIED] ?? "week";
      const start = eventWords(query?.start?.eventName);
      const back = eventWords(query?.return?.eventName);
      const returned = dropped ? `did not return with ${back}` : `returned with ${back}`;
      return {
        people:
          period === 0 ? `people who did ${start}` : `people who did ${start} and ${returned} in ${unit} ${period}`,
        details: [
          ...(cohort ? [`started in the ${unit} from ${formatInstant(timestampMs(cohort), own, now)}`] : []),
          ...(breakdown === undefined ? [] : [valueWords(query?.breakdown ?? "", breakdown)]),
          ...filterDetail(query?.filter),
        ],
      };
    }
  }
}

const eventWords = (name: string | undefined): string => name || "any event";
const groupWords = (group = ""): string => (group === "session" ? "sessions" : `values of ${fieldWords(group)}`);

const PERIODS: Partial<Record<RetentionPeriod, string>> = {
  [RetentionPeriod.HOUR]: "hour",
  [RetentionPeriod.DAY]: "day",
  [RetentionPeriod.WEEK]: "week",
  [RetentionPeriod.MONTH]: "month",
};

/** Steps count from 1. */
function funnelWords(steps: string[], step: number, dropped: boolean): string {
  const name = steps[step - 1] ?? "";
  if (dropped) return `did ${steps.slice(0, step - 1).join(" → ")}, but not ${name} after that`;
  if (step <= 1) return `entered with ${name}`;
  return step === steps.length ? `completed ${steps.join(" → ")}` : `did ${steps.slice(0, step).join(" → ")}`;
}

function valueWords(field: string, value: string): string {
  const isCountry = field === "country_code" && /^[A-Z]{2}$/.test(value);
  return `${fieldWords(field) || "value"}: ${isCountry ? countryName(value) : value || "(empty)"}`;
}

function rangeDetail(range: QueryRange | undefined, zone: string, now: number): string[] {
  const interval = range?.interval;
  if (interval?.start) {
    const own: Range = { from: timestampMs(interval.start), to: interval.end && timestampMs(interval.end) };
    return [rangeWords(own, zone, now)];
  }
  const preset = presetOf(range?.timeRange) ?? "7d";
  return range ? [rangeWords(preset, zone, now)] : [];
}

const filterDetail = (filter: EventFilter | undefined): string[] => {
  const text = filter ? filterText(filter) : "";
  return text === "" ? [] : [text];
};

const OPERATORS: Record<FieldOperator, string> = {
  [FieldOperator.UNSPECIFIED]: "is",
  [FieldOperator.IS]: "is",
  [FieldOperator.IS_NOT]: "is not",
  [FieldOperator.CONTAINS]: "contains",
  [FieldOperator.DOES_NOT_CONTAIN]: "does not contain",
  [FieldOperator.MATCHES]: "matches",
  [FieldOperator.GREATER]: ">",
  [FieldOperator.GREATER_OR_EQUAL]: "≥",
  [FieldOperator.LESS]: "<",
  [FieldOperator.LESS_OR_EQUAL]: "≤",
  [FieldOperator.BETWEEN]: "between",
  [FieldOperator.IS_SET]: "is set",
  [FieldOperator.IS_NOT_SET]: "is not set",
};

/** "country is Spain and not (plan is free)". */
export function filterText({ condition }: EventFilter): string {
  switch (condition.case) {
    case "field": {
      const { field, operator, values } = condition.value;
      const texts = values.map((value) => (field === "country_code" ? countryName(value) : value));
      const joined = texts.join(operator === FieldOperator.BETWEEN ? " and " : " or ");
      return `${fieldWords(field)} ${OPERATORS[operator]} ${joined}`.trim();
    }
    case "all":
    case "any": {
      const word = condition.case === "all" ? " and " : " or ";
      const parts = condition.value.filters.map(nested).filter((text) => text !== "");
      return parts.join(word);
    }
    case "not":
      return `not ${nested(condition.value)}`;
    case "did": {
      const { eventName, times, filter } = condition.value;
      const often = times !== undefined && times > 1 ? ` at least ${times} times` : "";
      const inner = filter ? filterText(filter) : "";
      return `did ${eventWords(eventName)}${often}${inner === "" ? "" : ` with ${inner}`}`;
    }
    default:
      return "";
  }
}

function nested(filter: EventFilter): string {
  const { condition } = filter;
  const text = filterText(filter);
  const isList = (condition.case === "all" || condition.case === "any") && condition.value.filters.length > 1;
  return isList ? `(${text})` : text;
}
