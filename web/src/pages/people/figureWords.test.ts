import { expect, test } from "vitest";
import { decodeFigure, encodeFigure, type Figure, type FigureInit } from "../../api/figureAddress.ts";
import {
  Aggregation,
  type EventFilter,
  FieldOperator,
  type Init,
  RetentionPeriod,
  TimeRange,
  toDuration,
  toTimestamp,
} from "../../api/messages.ts";
import { figureWords } from "./figureWords.ts";

const NOW = Date.UTC(2026, 10, 21, 12);
const wordsOf = (figure: FigureInit) => {
  const { people, details } = figureWords(decodeFigure(encodeFigure(figure)) as Figure, "UTC", NOW);
  return [people, ...details];
};
const steps = [{ eventName: "signup_started" }, { eventName: "plan_chosen" }, { eventName: "signup_completed" }];
const is = (field: string, ...values: string[]) =>
  ({ condition: { case: "field", value: { field, operator: FieldOperator.IS, values } } }) as const;

test("a figure of a trend", () => {
  const query = {
    series: [
      { eventName: "page_view", aggregation: Aggregation.VISITORS, filter: is("properties.plan", "pro", "team") },
    ],
    range: { timeRange: TimeRange.TIME_RANGE_30D, timeZone: "Europe/Madrid" },
    breakdown: ["country_code"],
  };
  expect(wordsOf({ case: "trend", value: { query, breakdown: ["ES"] } })).toEqual([
    "people who did page_view",
    "country: Spain",
    "the last 30 days",
    "plan is pro or team",
  ]);
  expect(wordsOf({ case: "trend", value: { query: { series: [{}] }, bucket: toTimestamp(NOW) } })).toEqual([
    "people who did any event",
    "from Sat 21 Nov, 12:00, one bucket",
  ]);
});

test("a figure of a funnel", () => {
  const query = { steps, window: toDuration(3_600_000), range: { timeRange: TimeRange.TIME_RANGE_TODAY } };
  const figure = (step: number, dropped = false) => wordsOf({ case: "funnel", value: { query, step, dropped } })[0];
  expect(figure(1)).toBe("people who entered with signup_started");
  expect(figure(2)).toBe("people who did signup_started → plan_chosen");
  expect(figure(3)).toBe("people who completed signup_started → plan_chosen → signup_completed");
  expect(figure(3, true)).toBe("people who did signup_started → plan_chosen, but not signup_completed after that");
  expect(wordsOf({ case: "funnel", value: { query: { ...query, groupBy: "session" }, step: 1 } })).toEqual([
    "sessions that entered with signup_started",
    "within 60\u00a0min\u00a00\u00a0s".replace("60\u00a0min\u00a00\u00a0s", "1\u00a0h\u00a00\u00a0min"),
    "today",
  ]);
});

test("a figure of a retention", () => {
  const query = {
    start: { eventName: "signup_completed" },
    return: { eventName: "login" },
    period: RetentionPeriod.WEEK,
  };
  const cohort = toTimestamp(Date.UTC(2026, 10, 16));
  const figure = (period: number, dropped = false) =>
    wordsOf({ case: "retention", value: { query, cohort, period, dropped } });
  expect(figure(0)).toEqual(["people who did signup_completed", "started in the week from Mon 16 Nov, 00:00"]);
  expect(figure(2)[0]).toBe("people who did signup_completed and returned with login in week 2");
  expect(figure(2, true)[0]).toBe("people who did signup_completed and did not return with login in week 2");
});

test("filters keep their structure", () => {
  const filter: Init<EventFilter> = {
    condition: {
      case: "all",
      value: {
        filters: [
          is("country_code", "ES"),
          {
            condition: {
              case: "not",
              value: { condition: { case: "any", value: { filters: [is("a", "1"), is("b", "2")] } } },
            },
          },
          { condition: { case: "did", value: { eventName: "login", times: 3 } } },
        ],
      },
    },
  };
  expect(wordsOf({ case: "trend", value: { query: { series: [{ eventName: "x" }], filter } } })).toEqual([
    "people who did x",
    "country is Spain and not (a is 1 or b is 2) and did login at least 3 times",
  ]);
});
