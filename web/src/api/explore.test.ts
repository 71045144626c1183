import { expect, test } from "vitest";
import { FieldOperator } from "../gen/millrace/v1/filter_pb.ts";
import { InsightChart } from "../gen/millrace/v1/insights_pb.ts";
import { Bucket, TimeRange } from "../gen/millrace/v1/range_pb.ts";
import { exploreQuery, type Selection } from "../query/query.ts";
import {
  chartKind,
  type ExploreRequest,
  exploration,
  exploreRequest,
  figureOf,
  insightChart,
  withPageFilters,
} from "./explore.ts";

const now = Date.UTC(2026, 10, 21, 12);
const request = (asked: ExploreRequest, selection: Partial<Selection> = {}) =>
  exploreRequest(exploreQuery(exploration(asked), { range: "7d", zone: "Europe/Madrid", ...selection }), now).value;

test("the page's range, zone and comparison replace those of the question", () => {
  const asked = { series: [{ eventName: "a" }], range: { timeRange: TimeRange.TIME_RANGE_1H }, compare: 2 };
  expect(request({ case: "trend", value: asked }, { compare: "previous" })).toMatchObject({
    series: [{ eventName: "a" }],
    range: { timeRange: TimeRange.TIME_RANGE_7D, timeZone: "Europe/Madrid" },
    compare: 1,
  });
  expect(request({ case: "trend", value: asked })).toMatchObject({ compare: 0 });
});

test("a bucket that would be too narrow for the page's range is left to the server", () => {
  const asked = { series: [{}], bucket: Bucket.BUCKET_MINUTE };
  expect(request({ case: "trend", value: asked }, { range: "6h" })).toMatchObject({ bucket: Bucket.BUCKET_MINUTE });
  expect(request({ case: "trend", value: asked }, { range: "90d" })).toMatchObject({ bucket: 0 });
  const days = { series: [{}], bucket: Bucket.BUCKET_DAY };
  expect(request({ case: "trend", value: days }, { range: "90d" })).toMatchObject({ bucket: Bucket.BUCKET_DAY });
});

test("the page's filters are added to the question's own", () => {
  const own = { condition: { case: "field" as const, value: { field: "plan", values: ["pro"] } } };
  const page = { condition: { case: "field", value: { field: "country_code", operator: FieldOperator.IS } } };
  const filters = [
    { dimension: "country_code", value: "ES" },
    { dimension: "country_code", value: "FR" },
  ];
  expect(withPageFilters(undefined, undefined)).toBeUndefined();
  expect(withPageFilters(own, [])).toBe(own);
  expect(withPageFilters(undefined, filters)).toMatchObject(page);
  expect(withPageFilters(own, filters)).toMatchObject({
    condition: { case: "all", value: { filters: [own, page] } },
  });
  expect(request({ case: "paths", value: {} }, { filters })).toMatchObject({
    filter: { condition: { value: { values: ["ES", "FR"] } } },
  });
});

test("cohorts end with the range, unless it ends now", () => {
  expect(request({ case: "retention", value: { periods: 4 } })).toMatchObject({ periods: 4, end: undefined });
  expect(request({ case: "retention", value: {} }, { range: "yesterday", zone: "UTC" })).toMatchObject({
    timeZone: "UTC",
    end: { seconds: BigInt(Date.UTC(2026, 10, 21) / 1000 - 1) },
  });
  const past = { from: Date.UTC(2026, 9, 1), to: Date.UTC(2026, 10, 1) };
  expect(request({ case: "retention", value: {} }, { range: past })).toMatchObject({
    end: { seconds: BigInt(past.to / 1000 - 1) },
  });
});

test("a chosen figure is one of the request that it was computed with", () => {
  const query = exploreQuery(exploration({ case: "funnel", value: { steps: [{}, {}] } }), { range: "7d", zone: "UTC" });
  expect(figureOf(query, { kind: "funnel", step: 2, dropped: true, breakdown: "pro", bucket: 5_000 }, now)).toEqual({
    case: "funnel",
    value: {
      query: exploreRequest(query, now).value,
      step: 2,
      dropped: true,
      breakdown: "pro",
      bucket: { seconds: 5n, nanos: 0 },
    },
  });
  expect(figureOf(query, { kind: "retention", cohort: 0, period: 1, dropped: false }, now)).toBeUndefined();
});

test("charts of insights are those of the page, and back", () => {
  expect(chartKind("funnel")).toBe("steps");
  expect(chartKind("retention", InsightChart.TABLE)).toBe("grid");
  expect(chartKind("trend", InsightChart.TABLE)).toBe("table");
  for (const chart of [InsightChart.LINE, InsightChart.NUMBER, InsightChart.TIME_TO_CONVERT, InsightChart.FLOW]) {
    expect(insightChart(chartKind("trend", chart))).toBe(chart);
  }
});
