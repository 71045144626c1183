import { expect, test } from "vitest";
import { lineRows, type Point } from "./points.ts";

const SERIES = [{ key: "a", label: "A", color: "red" }];
const point = (at: number, a: number | null, incomplete = false): Point => ({ at, incomplete, figures: { a } });

test("the running bucket is dashed, joined to the last complete one", () => {
  expect(lineRows([point(1, 10), point(2, 20), point(3, 5, true)], SERIES)).toEqual([
    { at: 1, incomplete: false, a: 10, "a running": null },
    { at: 2, incomplete: false, a: 20, "a running": 20 },
    { at: 3, incomplete: true, a: null, "a running": 5 },
  ]);
});

test("without a running bucket nothing is dashed", () => {
  expect(lineRows([point(1, 10), point(2, 20)], SERIES).every((row) => row["a running"] === null)).toBe(true);
});
