import { expect, test } from "vitest";
import { decodeFigure, encodeFigure, type FigureInit } from "./figureAddress.ts";
import {
  Aggregation,
  type EventFilter,
  FieldOperator,
  type Init,
  RetentionPeriod,
  TimeRange,
  toDuration,
  toTimestamp,
} from "./messages.ts";

const AT = Date.UTC(2026, 10, 21, 10, 0, 0, 5);
const filter: Init<EventFilter> = {
  condition: {
    case: "all",
    value: {
      filters: [
        {
          condition: {
            case: "field",
            value: { field: "properties.plan ключ", operator: FieldOperator.IS_NOT, values: ["a/b+c=", ""] },
          },
        },
        { condition: { case: "did", value: { eventName: "login", within: toDuration(3_600_000), times: 2 } } },
      ],
    },
  },
};

const FIGURES: FigureInit[] = [
  {
    case: "trend",
    value: {
      query: {
        series: [{ eventName: "page_view", aggregation: Aggregation.VISITORS, filter }],
        range: { timeRange: TimeRange.TIME_RANGE_7D, timeZone: "Europe/Madrid" },
        breakdown: ["country_code"],
        limit: 0,
      },
      series: 0,
      breakdown: ["ES"],
      bucket: toTimestamp(AT),
    },
  },
  { case: "trend", value: { query: { series: [{ eventName: "x" }] }, isOther: true } },
  {
    case: "funnel",
    value: {
      query: {
        steps: [{ eventName: "signup_started" }, { eventName: "signup_completed" }],
        window: toDuration(86_400_000),
        range: { interval: { start: toTimestamp(AT - 1_000), end: toTimestamp(AT) } },
      },
      step: 2,
      dropped: true,
      breakdown: "",
    },
  },
  {
    case: "retention",
    value: {
      query: { start: { eventName: "a" }, return: {}, period: RetentionPeriod.WEEK },
      cohort: toTimestamp(AT),
      period: 3,
    },
  },
];

test.each(FIGURES)("a figure of a $case is the same after its address", (figure) => {
  const text = encodeFigure(figure);
  expect(text).toMatch(/^[\w-]+$/);
  const decoded = decodeFigure(text);
  expect(decoded).toMatchObject(figure);
  // Absent is not zero.
  expect(encodeFigure(decoded as FigureInit)).toBe(text);
});

test("an address is short", () => {
  expect(encodeFigure(FIGURES[2] as FigureInit).length).toBeLessThan(130);
});

test("what is not a figure is none", () => {
  const whole = encodeFigure(FIGURES[2] as FigureInit);
  for (const text of ["", "%", "AAAA", "hello", whole.slice(0, -5), "a b"]) expect(decodeFigure(text)).toBeUndefined();
});
