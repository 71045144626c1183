import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import type { TrendDetail } from "../frame/detail.ts";
import { toTimeSeries } from "../frame/timeSeries.ts";
import {
  Aggregation,
  QueryFunnelResponseSchema,
  QueryPathsResponseSchema,
  QueryRetentionResponseSchema,
  QueryTrendResponseSchema,
  RetentionPeriod,
} from "../gen/millrace/v1/explore_pb.ts";
import { DataSource } from "../gen/millrace/v1/range_pb.ts";
import { exploreQuery, type Selection } from "../query/query.ts";
import { decodeExplore } from "./decodeExplore.ts";
import { type ExploreRequest, exploration } from "./explore.ts";

const HOUR = 3_600_000;
const START = Date.UTC(2026, 10, 21, 10);
const context = {
  rangeStart: timestampFromMs(START),
  rangeEnd: timestampFromMs(START + 2 * HOUR),
  computedAt: timestampFromMs(START + 2 * HOUR),
  timeZone: "UTC",
  bucketSeconds: 3600,
  source: DataSource.EVENTS,
};
const buckets = [timestampFromMs(START), timestampFromMs(START + HOUR)];
const ask = (asked: ExploreRequest, selection: Partial<Selection> = {}) =>
  exploreQuery(exploration(asked), { range: "24h", zone: "UTC", ...selection });

function trend(
  value: Extract<ExploreRequest, { case: "trend" }>["value"],
  lines: MessageInitShape<typeof QueryTrendResponseSchema>["lines"],
  selection: Partial<Selection> = {},
) {
  const message = create(QueryTrendResponseSchema, { buckets, lines, context, cost: { rowsRead: 5n } });
  return decodeExplore(ask({ case: "trend", value }, selection), { case: "trend", value: message });
}
const values = (...numbers: (number | undefined)[]) => numbers.map((value) => ({ value }));

test("the series of a trend are measures over time, and their totals figures", () => {
  const frame = trend({ series: [{ eventName: "a" }, { eventName: "b", aggregation: Aggregation.VISITORS }] }, [
    { series: 0, values: values(1, 2), total: { value: 3 } },
    { series: 1, values: values(0.5, undefined), total: {} },
  ]);
  expect(frame.figures).toMatchObject([
    { label: "a", value: 3 },
    { label: "b: visitors", value: null },
  ]);
  expect(frame.columns.map(({ label, role, additive, type }) => [label, role, additive, type])).toEqual([
    ["Time", "time", false, "time"],
    ["a", "measure", true, "int"],
    ["b: visitors", "measure", false, "float"],
  ]);
  expect(frame.cost).toMatchObject({ rowsRead: 5, source: "events" });
  const series = toTimeSeries(frame, { top: 10 });
  expect(series?.series.map((each) => each.values)).toEqual([
    [1, 2],
    [0.5, null],
  ]);
});

test("the values of a breakdown are a dimension, the rest last, and each line knows what it stands for", () => {
  const frame = trend({ series: [{ eventName: "a" }], breakdown: ["plan"] }, [
    { breakdown: ["pro"], values: values(4, 5), total: { value: 9 } },
    { breakdown: ["free"], values: values(1, 1), total: { value: 2 } },
    { isOther: true, values: values(7, 7), total: { value: 14 } },
  ]);
  expect(frame.figures).toEqual([]);
  expect(frame.columns.find(({ name }) => name === "plan")).toMatchObject({
    role: "dimension",
    values: ["pro", "free", "(other)", "pro", "free", "(other)"],
  });
  expect(frame.detail).toMatchObject({
    kind: "trend",
    buckets: [START, START + HOUR],
    lines: [
      { label: "pro", breakdown: ["pro"], isOther: false, total: 9 },
      { label: "free" },
      { label: "(other)", breakdown: [], isOther: true },
    ],
  });
  expect(toTimeSeries(frame, { top: 10 })?.series.find(({ label }) => label === "pro")?.values).toEqual([4, 5]);
});

test("several series with a breakdown are told apart by both", () => {
  const frame = trend({ series: [{ eventName: "a" }, { eventName: "b" }], breakdown: ["plan"] }, [
    { series: 0, breakdown: ["pro"], values: values(1, 2), total: { value: 3 } },
    { series: 1, breakdown: ["pro"], values: values(3, 4), total: { value: 7 } },
  ]);
  const labels = toTimeSeries(frame, { top: 10 })?.series.map(({ label }) => label);
  expect(labels?.sort()).toEqual(["a · pro", "b · pro"]);
});

test("a comparison is a frame of the earlier period, whose buckets correspond", () => {
  const lines = [{ values: [{ value: 4, comparedValue: 2 }, { value: 5 }], total: { value: 9, comparedValue: 6 } }];
  const frame = trend({ series: [{ eventName: "a" }] }, lines, { compare: "week" });
  expect(frame.comparison?.context.start).toBe(START - 7 * 24 * HOUR);
  expect(frame.figures[0]?.comparison).toEqual({ label: "a week earlier", value: 6, changePct: 50 });
  expect(toTimeSeries(frame, { top: 10 })?.series[0]?.compared).toEqual([2, null]);
  const previous = trend({ series: [{ eventName: "a" }] }, lines, { compare: "previous" });
  expect(previous.comparison?.context).toMatchObject({ start: START - 2 * HOUR, end: START });
});

test("a share has percentages, and a line of another length is an error", () => {
  const frame = trend({ series: [{}, {}], formula: "100 * B / A" }, [{ values: values(1, 2), total: { value: 1.5 } }]);
  expect(frame.figures).toMatchObject([{ label: "100 * B / A", unit: "%", value: 1.5 }]);
  expect(() => trend({ series: [{}] }, [{ values: values(1) }])).toThrow("1 values for 2 buckets");
});

test("a funnel has its steps as rows, and everything else in its detail", () => {
  const steps = [
    { count: 100n, fromFirstPct: 100 },
    { count: 40n, fromFirstPct: 40, fromPreviousPct: 40, medianFromPrevious: { seconds: 90n } },
  ];
  const message = create(QueryFunnelResponseSchema, {
    overall: {
      steps,
      trend: [{ bucket: buckets[0], entered: 100n, converted: 40n, conversionPct: 40, incomplete: true }],
      timeToConvert: { median: { seconds: 60n }, histogram: [3n, 1n], interval: { seconds: 30n } },
      running: 2n,
    },
    breakdown: [{ value: "pro", steps }],
    context,
  });
  const value = { steps: [{ eventName: "visit" }, {}], breakdown: "plan", groupBy: "session" };
  const frame = decodeExplore(ask({ case: "funnel", value }), { case: "funnel", value: message });
  expect(frame.rows).toBe(4);
  expect(frame.columns.map(({ name, values }) => [name, values])).toEqual([
    ["plan", ["(all)", "(all)", "pro", "pro"]],
    ["step", ["1. visit", "2. Any event", "1. visit", "2. Any event"]],
    ["count", [100, 40, 100, 40]],
    ["from_first", [100, 40, 100, 40]],
    ["from_previous", [null, 40, null, 40]],
    ["median_time", [null, 90_000, null, 90_000]],
  ]);
  expect(frame.figures.map(({ value, unit, label }) => [value, unit, label])).toEqual([
    [40, "%", "converted"],
    [100, "", "sessions entered"],
    [60_000, "ms", "median time to convert"],
  ]);
  expect(frame.detail).toMatchObject({
    entity: "sessions",
    overall: {
      trend: [{ at: START, entered: 100, converted: 40, pct: 40, incomplete: true }],
      timeToConvert: { histogram: [3, 1], intervalMs: 30_000 },
      running: 2,
    },
  });
});

test("a retention has a row per cohort, with gaps where periods have not begun", () => {
  const message = create(QueryRetentionResponseSchema, {
    overall: {
      cohorts: [
        {
          start: buckets[0],
          visitors: 10n,
          cells: [
            { visitors: 10n, pct: 100 },
            { visitors: 4n, pct: 40 },
          ],
        },
        { start: buckets[1], visitors: 5n, cells: [{ visitors: 5n, pct: 100, incomplete: true }] },
      ],
      mean: [{ pct: 100 }, { pct: 40 }],
    },
    context,
  });
  const frame = decodeExplore(ask({ case: "retention", value: { period: RetentionPeriod.DAY } }), {
    case: "retention",
    value: message,
  });
  expect(frame.columns.map(({ label, values }) => [label, values])).toEqual([
    ["Cohort", [START, START + HOUR]],
    ["Visitors", [10, 5]],
    ["Day 0", [100, 100]],
    ["Day 1", [40, null]],
  ]);
  expect(frame.figures).toMatchObject([{ label: "back after a day", value: 40 }]);
  expect(frame.detail).toMatchObject({
    period: "day",
    periods: 1,
    overall: { cohorts: [{}, { cells: [{ incomplete: true }] }] },
  });
});

test("paths have a row per transition, and say where visits ended", () => {
  const message = create(QueryPathsResponseSchema, {
    transitions: [
      { step: 1, from: "visit", to: "pricing", count: 7n, averageTime: { seconds: 3n } },
      { step: 1, from: "visit", to: "", count: 3n },
    ],
    paths: 10n,
    context,
  });
  const frame = decodeExplore(ask({ case: "paths", value: { event: { eventName: "visit" } } }), {
    case: "paths",
    value: message,
  });
  expect(frame.columns.map(({ values }) => values)).toEqual([
    [1, 1],
    ["visit", "visit"],
    ["pricing", "(visit ended)"],
    [7, 3],
    [3_000, null],
  ]);
  expect(frame.detail).toMatchObject({ kind: "paths", event: "visit", steps: 3, paths: 10 });
});

test("a rate has percentages and a name in words, whichever of its formulas a question has", () => {
  const series = [{ eventName: "error_occurred" }, {}];
  const lines = [
    {
      values: [{ value: 0.5, comparedValue: 0.25 }, {}],
      total: { value: 0.5, comparedValue: 0.25 },
      breakdown: ["4.2"],
    },
  ];
  const rate = (request: object) => trend(request, lines, { compare: "week" }).detail as TrendDetail;
  const fraction = rate({ series, formula: "A / B", breakdown: ["release"] });
  expect(fraction.lines[0]).toMatchObject({ unit: "%", additive: false, values: [50, null], total: 50 });
  expect(fraction.lines[0]?.compared).toEqual({ values: [25, null], total: 25 });
  expect(rate({ series, formula: "100 * A / B" }).lines[0]).toMatchObject({
    label: "error_occurred, share of all events",
    unit: "%",
    total: 0.5,
  });
  const visitors = series.map((each) => ({ ...each, aggregation: Aggregation.VISITORS }));
  expect(rate({ series: visitors, formula: "A / B" }).lines[0]?.label).toBe(
    "error_occurred: visitors, share of all visitors",
  );
  // Not of the same count: 45 EUR per order are no percentage.
  const average = [{ eventName: "order", aggregation: Aggregation.SUM, property: "price" }, { eventName: "order" }];
  expect(rate({ series: average, formula: "A / B" }).lines[0]).toMatchObject({ label: "A / B", unit: "", total: 0.5 });
});
