import { expect, test } from "vitest";
import type { FunnelDetail } from "../../frame/detail.ts";
import {
  certainty,
  changesOf,
  concentratedIn,
  deviationOf,
  funnelRows,
  smallestChange,
  worstChange,
} from "./funnelRows.ts";

const result = (value: string, entered: number, converted: number) => ({
  value,
  steps: [
    { count: entered, fromFirstPct: 100, fromPreviousPct: null, medianMs: null },
    {
      count: converted,
      fromFirstPct: (100 * converted) / entered,
      fromPreviousPct: (100 * converted) / entered,
      medianMs: null,
    },
  ],
  trend: [],
  timeToConvert: null,
  running: 0,
});

const detail = (values: [string, number, number][]): FunnelDetail => ({
  kind: "funnel",
  steps: ["signup_started", "signup_completed"],
  field: "country_code",
  overall: result("", 1000, 600),
  breakdown: values.map((value) => result(...value)),
  truncatedVisitors: 0,
  entity: "visitors",
});

test("the value that got worse is named, one that changed by chance is not", () => {
  const now = detail([
    ["ES", 400, 120],
    ["DE", 400, 262],
    ["FR", 10, 1],
  ]);
  const before = detail([
    ["ES", 400, 256],
    ["DE", 400, 268],
    ["FR", 10, 8],
  ]);
  expect(worstChange(funnelRows(now, before), "country_code")).toMatchObject({
    step: 1,
    change: -34,
    row: { label: "Spain" },
  });
  expect(changesOf("country_code", now, before)).toHaveLength(1);
  expect(worstChange(funnelRows(now, undefined), "")).toBeUndefined();
});

test("small numbers, and steps that nobody did before, say nothing of a change", () => {
  const rows = funnelRows(
    detail([
      ["ES", 400, 120],
      ["DE", 60, 30],
      ["FR", 400, 33],
    ]),
    detail([
      ["ES", 400, 256],
      ["DE", 60, 38],
      ["FR", 400, 0],
    ]),
  );
  expect(rows.slice(1).map((row) => certainty(row, 1))).toEqual(["certain", "chance", "new"]);
});

test("a change is limited to a value if the rest did not change, and if that says something", () => {
  const found = (now: [string, number, number][], before: [string, number, number][], all: [number, number]) =>
    concentratedIn(
      "country_code",
      { ...detail(now), overall: result("", 1000, all[0]) },
      { ...detail(before), overall: result("", 1000, all[1]) },
      1,
    )?.row.label;
  const before: [string, number, number][] = [
    ["ES", 400, 240],
    ["DE", 600, 360],
  ];
  expect(
    found(
      [
        ["ES", 400, 80],
        ["DE", 600, 365],
      ],
      before,
      [445, 600],
    ),
  ).toBe("Spain");
  // Both changed.
  expect(
    found(
      [
        ["ES", 400, 80],
        ["DE", 600, 200],
      ],
      before,
      [280, 600],
    ),
  ).toBeUndefined();
  // The rest are too few to tell.
  expect(
    found(
      [
        ["ES", 990, 500],
        ["DE", 10, 6],
      ],
      [
        ["ES", 990, 594],
        ["DE", 10, 6],
      ],
      [506, 600],
    ),
  ).toBeUndefined();
});

test("deviations are those of a test of two proportions", () => {
  expect(deviationOf(50, 100, 50, 100)).toBe(0);
  expect(deviationOf(40, 100, 60, 100)).toBeCloseTo(-2.828, 2);
  expect(deviationOf(1, 10, 9, 10)).toBe(0);
});

test("the smallest change that shows is the one that the test just tells from chance", () => {
  const rows = funnelRows(
    { ...detail([]), overall: result("", 400, 200) },
    { ...detail([]), overall: result("", 400, 200) },
  );
  const points = Math.max(...rows.map(smallestChange));
  expect(points).toBeCloseTo(11.7, 1);
  // Half of it down and half of it up from the same share.
  expect(deviationOf(200 - 2 * points, 400, 200 + 2 * points, 400)).toBeCloseTo(-3.3, 1);
});
