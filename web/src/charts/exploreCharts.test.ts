// The pure parts of the charts of questions.

import { describe, expect, test } from "vitest";
import { conversionOverTime, trendTotals } from "../frame/derived.ts";
import type { FunnelDetail, PathsDetail, RetentionDetail, TrendDetail } from "../frame/detail.ts";
import { inReadingOrder } from "../frame/lineOrder.ts";
import { toTimeSeries } from "../frame/timeSeries.ts";
import { EXPLORE_SAMPLES } from "../test/explore.ts";
import { chartForm, isEmpty } from "./chartForm.ts";
import { toCurves } from "./curveShape.ts";
import { drawnFrame } from "./drawnFrame.ts";
import { bandPath, MAX_NODES, toFlow } from "./flowShape.ts";
import { MAX_FUNNEL_VALUES, toFunnelShape } from "./funnelShape.ts";
import { shortDuration, toHistogram } from "./histogramShape.ts";
import { cellWords, nextCell, percentText, toRetentionGrid } from "./retentionShape.ts";
import { nearestSeries, seriesPick } from "./seriesPick.ts";
import { extentOf, toSparkline } from "./sparkline.ts";

const sample = (name: string) => {
  const found = EXPLORE_SAMPLES.find((each) => each.name === name);
  if (!found) throw new Error(name);
  return found;
};
const funnelDetail = sample("funnel").frame.detail as FunnelDetail;
const retentionDetail = sample("retention").frame.detail as RetentionDetail;

describe("funnel", () => {
  const step = (count: number, first: number, previous: number | null) => ({
    count,
    fromFirstPct: first,
    fromPreviousPct: previous,
    medianMs: null,
  });
  const result = (value: string, counts: number[]) => ({
    value,
    steps: counts.map((count, index) => step(count, count, index === 0 ? null : count)),
    trend: [],
    timeToConvert: null,
    running: 0,
  });
  const detail = (overall: number[], values: string[] = []): FunnelDetail => ({
    kind: "funnel",
    steps: overall.map((_, index) => `step ${index + 1}`),
    field: "plan",
    overall: result("", overall),
    breakdown: values.map((value) => result(value, [50, 10])),
    truncatedVisitors: 0,
    entity: "visitors",
  });

  test("bars are parts of the first step, and what was lost follows them", () => {
    const { steps } = toFunnelShape(detail([200, 80, 60]));
    expect(steps.map(({ overall }) => [overall.width, overall.lostWidth, overall.lost, overall.lostPct])).toEqual([
      [100, 0, 0, null],
      [40, 60, 120, 60],
      [30, 10, 20, 25],
    ]);
  });

  test("without entries nothing is divided by zero", () => {
    const { steps } = toFunnelShape(detail([0, 0]));
    expect(steps[1]?.overall).toMatchObject({ width: 0, lostWidth: 0, lost: 0, lostPct: null });
  });

  test("each value has its own scale and keeps its colour; more values than colours are in the table", () => {
    const values = Array.from({ length: MAX_FUNNEL_VALUES + 3 }, (_, index) => `plan ${index}`);
    const { steps, notShown } = toFunnelShape(detail([500, 100], values));
    expect(notShown).toBe(3);
    expect(steps[1]?.values[0]).toMatchObject({ value: "plan 0", width: 20, lostWidth: 80 });
    expect(steps[0]?.values.map(({ color }) => color)).toEqual(steps[1]?.values.map(({ color }) => color));
  });

  test("the conversion by entry is a series, running where entries can still convert", () => {
    const frame = conversionOverTime(sample("funnel").frame, funnelDetail);
    expect(frame.columns.map(({ role }) => role)).toEqual(["time", "measure", "detail", "detail"]);
    expect(frame.context.partialFrom).toBe(funnelDetail.overall.trend.find(({ incomplete }) => incomplete)?.at);
    const whole = (entries: [entered: number, converted: number][]): FunnelDetail => {
      const trend = entries.map(([entered, converted], index) => ({
        at: frame.context.start + index * 3_600_000,
        entered,
        converted,
        pct: entered === 0 ? null : (100 * converted) / entered,
        incomplete: converted < entered,
      }));
      return { ...funnelDetail, overall: { ...funnelDetail.overall, trend } };
    };
    // Where everyone has converted already, or nobody entered, nobody can convert any more: such buckets do not make the
    // others incomplete ones to leave out.
    const long = conversionOverTime(
      frame,
      whole([
        [0, 0],
        [3, 3],
        [9, 6],
        [0, 0],
        [8, 8],
        [7, 2],
        [5, 1],
      ]),
    );
    expect(long.context.partialFrom).toBe(frame.context.partialFrom);
    const broken = sample("funnel_by_country");
    const byCountry = conversionOverTime(broken.frame, broken.frame.detail as FunnelDetail);
    expect(byCountry.columns[1]).toMatchObject({ name: "country", role: "dimension" });
  });
});

describe("time to convert", () => {
  const time = { averageMs: 50_000, medianMs: 45_000, p90Ms: 130_000, histogram: [4, 1, 0, 3], intervalMs: 30_000 };

  test("bars have the length of their counts, and the marks their place on the axis", () => {
    const { bars, position, total } = toHistogram(time);
    expect(bars.map(({ label, height, pct }) => [label.replaceAll("\u00a0", " "), height, pct])).toEqual([
      ["0 to 30 s", 100, 50],
      ["30 s to 1 min", 25, 12.5],
      ["1 min to 1 min 30 s", 0, 0],
      ["1 min 30 s to 2 min", 75, 37.5],
    ]);
    expect([position(60_000), position(null), position(130_000)]).toEqual([50, undefined, undefined]);
    expect(total).toBe(8);
  });

  test("without conversions there are no bars", () => {
    expect(toHistogram({ ...time, histogram: [] })).toMatchObject({
      bars: [],
      total: 0,
      ticks: [{ at: 0, label: "0" }],
    });
  });

  test.each([
    [30_000, "30 s"],
    [90_000, "1 min 30 s"],
    [7_200_000, "2 h"],
    [500, "500 ms"],
    [3 * 86_400_000, "3 d"],
  ])("%i ms is %s", (ms, text) => expect(shortDuration(ms).replaceAll("\u00a0", " ")).toBe(text));
});

describe("retention", () => {
  const grid = toRetentionGrid(retentionDetail, retentionDetail.overall, { zone: "UTC", computedAt: Date.now() });

  test("the grid has a column per period, and nothing where periods have not begun", () => {
    expect(grid.columns).toEqual(Array.from({ length: 9 }, (_, index) => `Week ${index}`));
    expect(grid.rows.map(({ cells }) => cells.filter(Boolean).length)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1]);
    expect(grid.hasIncomplete).toBe(true);
    expect(grid.mean.at(-1)).toMatchObject({ pct: null, text: "–" });
  });

  test("shades are those of the scale of the grid, whose first period does not count", () => {
    const cell = (pct: number) => ({ visitors: 1, pct, incomplete: false });
    const shades = (...values: number[]) => {
      const cohorts = [{ start: 0, visitors: 10, cells: [cell(100), ...values.map(cell)] }];
      const shape = toRetentionGrid(
        { ...retentionDetail, periods: values.length },
        { value: "", cohorts, mean: [] },
        { zone: "UTC", computedAt: 0 },
      );
      return shape.rows[0]?.cells.slice(1).map((each) => each?.shade);
    };
    expect(shades(9.9, 5, 0)).toEqual([4, 2, 0]);
    expect(shades(100, 50, 10)).toEqual([4, 2, 0]);
  });

  test("a cell says everything that the grid shows by place and colour", () => {
    const row = grid.rows[0];
    const cell = row?.cells[8];
    if (!row || !cell) throw new Error("no such cell");
    expect(cellWords(cell, "Week 8", row)).toMatch(/, Week 8: \d+%, \d+ of 1,\d+, can still grow$/);
  });

  test.each([
    [null, "–"],
    [0, "0%"],
    [0.42, "0.4%"],
    [42.4, "42%"],
    [99.6, "99.6%"],
    [100, "100%"],
  ])("%s is %s", (pct, text) => expect(percentText(pct)).toBe(text));

  test("arrow keys move between the cells that exist", () => {
    expect(nextCell(grid.rows, { row: 0, column: 1 }, "ArrowDown")).toEqual({ row: 1, column: 1 });
    expect(nextCell(grid.rows, { row: 8, column: 0 }, "ArrowRight")).toBeUndefined();
    expect(nextCell(grid.rows, { row: 0, column: 0 }, "ArrowUp")).toBeUndefined();
    expect(nextCell(grid.rows, { row: 2, column: 0 }, "End")).toEqual({ row: 2, column: 6 });
    expect(nextCell(grid.rows, { row: 2, column: 0 }, "x")).toBeUndefined();
  });

  test("the curve begins with the first period after the start, on a scale for its values", () => {
    const curves = toCurves(retentionDetail, "All visitors");
    expect(curves.periods[0]).toBe("Week 1");
    expect(curves.curves).toMatchObject([{ label: "All visitors", values: { length: 8 } }]);
    expect(curves.max).toBe(60);
    const byPlan = sample("retention_by_plan").frame.detail as RetentionDetail;
    expect(toCurves(byPlan, "").curves.map(({ label }) => label)).toEqual(["pro", "free"]);
  });
});

describe("paths", () => {
  const detail = (transitions: [number, string, string, number][], change: Partial<PathsDetail> = {}): PathsDetail => ({
    kind: "paths",
    before: false,
    event: "",
    steps: 3,
    paths: 10,
    transitions: transitions.map(([step, from, to, count]) => ({ step, from, to, count, averageMs: 1_000 * count })),
    truncatedVisitors: 0,
    ...change,
  });

  test("columns follow the steps, and the end of visits comes last", () => {
    const flow = toFlow(
      detail([
        [1, "a", "", 6],
        [1, "a", "b", 4],
        [2, "b", "c", 3],
        [2, "b", "", 1],
      ]),
    );
    expect(flow.columns.map((column) => column.map(({ kind, name, count }) => [kind, name, count]))).toEqual([
      [["step", "a", 10]],
      [
        ["step", "b", 4],
        ["end", "", 6],
      ],
      [
        ["step", "c", 3],
        ["end", "", 1],
      ],
    ]);
    expect(flow.links).toHaveLength(4);
  });

  test("paths that lead to an event have it in the last column", () => {
    const flow = toFlow(
      detail(
        [
          [1, "buy", "b", 4],
          [2, "b", "", 4],
        ],
        { before: true },
      ),
    );
    expect(flow.columns.map((column) => column.map(({ name }) => name))).toEqual([[""], ["b"], ["buy"]]);
    expect(flow.links.map(({ from, to }) => [from, to]).sort()).toEqual([
      ["0/end", "1/step/b"],
      ["1/step/b", "2/step/buy"],
    ]);
  });

  test("small nodes are together in one, with their flows", () => {
    const targets = Array.from({ length: MAX_NODES + 4 }, (_, i): [number, string, string, number] => [
      1,
      "a",
      `p${i}`,
      20 - i,
    ]);
    const flow = toFlow(detail(targets));
    const second = flow.columns[1] ?? [];
    expect(second).toHaveLength(MAX_NODES + 1);
    expect(second.at(-1)).toMatchObject({ kind: "others", merged: 4, count: 14 + 13 + 12 + 11 });
    expect(flow.links).toHaveLength(MAX_NODES + 1);
    expect(flow.links.at(-1)?.averageMs).toBeCloseTo((14 ** 2 + 13 ** 2 + 12 ** 2 + 11 ** 2) * 20);
  });

  test("the nodes of each column fit the drawing, and do not overlap", () => {
    for (const name of ["paths", "paths_before"]) {
      const flow = toFlow(sample(name).frame.detail as PathsDetail);
      for (const column of flow.columns) {
        for (const [index, { top, height }] of column.entries()) {
          expect(top + height).toBeLessThanOrEqual(1.000_001);
          const next = column[index + 1];
          if (next) expect(next.top - top).toBeGreaterThanOrEqual(0.08);
        }
      }
      const nodes = new Map(flow.columns.flat().map((node) => [node.id, node]));
      for (const link of flow.links) {
        const [from, to] = [nodes.get(link.from), nodes.get(link.to)];
        if (!from || !to) throw new Error(`${link.id} has no nodes`);
        expect(to.column - from.column).toBe(1);
        expect(link.fromTop + link.thickness).toBeLessThanOrEqual(from.top + from.height + 1e-6);
        expect(link.toTop + link.thickness).toBeLessThanOrEqual(to.top + to.height + 1e-6);
      }
    }
  });

  test("no paths are no columns, and a band is a closed shape", () => {
    expect(toFlow(detail([])).columns.flat()).toEqual([]);
    const band = { id: "", from: "", to: "", count: 1, averageMs: null, fromTop: 0, toTop: 0.5, thickness: 0.1 };
    expect(bandPath(band, 1, 33)).toBe("M1 0C17 0 17 50 33 50V60C17 60 17 10 1 10Z");
  });
});

describe("trend", () => {
  test("totals are a frame of their own, with the change", () => {
    const { frame } = sample("trend_table");
    const totals = trendTotals(frame, frame.detail as TrendDetail);
    expect(totals.columns.map(({ name, role }) => [name, role])).toEqual([
      ["plan", "dimension"],
      ["total", "measure"],
      ["earlier", "detail"],
      ["change", "detail"],
    ]);
    expect(totals.columns[0]?.values).toEqual(["free", "starter", "pro", "enterprise", "(other)"]);
    expect(totals.comparison).toBeUndefined();
  });

  test("releases are read from the newest to the oldest, other values from the largest total, the rest last", () => {
    const line = (value: string | null, total: number | null, series = 0) => ({
      label: "",
      series,
      breakdown: value === null ? [] : [value],
      isOther: value === null,
      unit: "%",
      additive: false,
      values: [],
      total,
    });
    const order = (...lines: ReturnType<typeof line>[]) =>
      trendTotals(sample("trend_table").frame, { kind: "trend", buckets: [], fields: ["release"], lines }).columns[0]
        ?.values;
    expect(order(line("2026.9", 3), line(null, 9), line("2026.326", 1), line("(none)", 8), line("2026.41", 2))).toEqual(
      ["2026.326", "2026.41", "2026.9", "(none)", "(other)"],
    );
    expect(order(line("v1.9.0", 3), line("v1.10.0-rc.1", 1))).toEqual(["v1.10.0-rc.1", "v1.9.0"]);
    expect(order(line("a", 3), line("404", null), line(null, 9), line("b", 12))).toEqual(["b", "a", "404", "(other)"]);
    // Each series has its own scale.
    const totals = (lines: ReturnType<typeof line>[]) =>
      inReadingOrder(lines, (each) => each).map(({ total }) => total);
    expect(totals([line("a", 1), line("b", 2), line("a", 30, 1), line("b", 90, 1)])).toEqual([2, 1, 90, 30]);
    // Without a breakdown as the question has them.
    const series = (total: number, index: number) => ({ ...line("", total, index), breakdown: [] });
    expect(totals([series(1, 0), series(2, 1)])).toEqual([1, 2]);
  });

  test("a point knows which line and bucket it counts", () => {
    const series = (name: string) => toTimeSeries(drawnFrame("line", sample(name).frame), { top: 10 });
    const lines = series("trend_line");
    const { frame } = sample("trend_line");
    const at = lines?.times[3] ?? 0;
    expect(lines?.series.map(({ key }) => seriesPick(frame, key, at))).toEqual([
      { kind: "trend", series: 0, breakdown: [], isOther: false, bucket: at },
      { kind: "trend", series: 1, breakdown: [], isOther: false, bucket: at },
    ]);
    const plans = sample("trend_stacked").frame;
    const picks = series("trend_stacked")?.series.map(({ key }) => seriesPick(plans, key, at));
    expect(picks).toContainEqual({ kind: "trend", series: 0, breakdown: ["pro"], isOther: false, bucket: at });
    expect(picks).toContainEqual({ kind: "trend", series: 0, breakdown: [], isOther: true, bucket: at });
    const conversion = sample("conversion").frame;
    expect(seriesPick(conversion, "conversion", funnelDetail.overall.trend[2]?.at ?? 0)).toMatchObject({
      kind: "funnel",
      step: 5,
    });
    expect(seriesPick(frame, "line_0", 1)).toBeUndefined();
  });

  test("the nearest series is that whose mark is nearest", () => {
    const marks = [{ high: [10] }, { high: [null] }, { high: [40] }];
    const nearest = (top: number) => nearestSeries(marks, 0, top, (value) => 100 - value);
    expect([nearest(95), nearest(50), nearestSeries([{ high: [null] }], 0, 5, () => 0)]).toEqual([
      marks[0],
      marks[2],
      undefined,
    ]);
  });

  test("a sparkline begins at zero, has gaps, and a running part", () => {
    expect(toSparkline([0, 10, 5], 2)).toEqual({
      line: "M0 100L50 0",
      area: "M0 100L50 0V100H0Z",
      running: "M50 0L100 50",
    });
    expect(toSparkline([10, null, 10]).line).toBe("M0 0M100 0");
    expect(toSparkline([null, null])).toEqual({ line: "", area: "", running: "" });
    expect(extentOf([-2, null, 4])).toEqual({ low: -2, high: 4 });
  });
});

test.each([
  ["funnel", "steps", "steps"],
  ["funnel", "line", "time-series"],
  ["funnel", "bar", "steps"],
  ["retention", "line", "curve"],
  ["retention", "table", "table"],
  ["retention", "flow", "grid"],
  ["paths", "line", "flow"],
  ["trend_line", "area", "time-series"],
  ["trend_line", "horizontal-bar", "horizontal-bar"],
] as const)("a %s as %s is drawn as %s", (name, kind, form) => {
  const { frame } = sample(name);
  expect(chartForm(kind, frame)).toBe(form);
  expect(drawnFrame(kind, frame).rows).toBeGreaterThan(0);
  expect(isEmpty(kind, frame)).toBe(false);
});

test("a funnel that nobody entered is empty", () => {
  const { frame } = sample("funnel");
  const none = { ...funnelDetail, overall: { ...funnelDetail.overall, steps: [] } };
  expect(isEmpty("steps", { ...frame, detail: none })).toBe(true);
});
