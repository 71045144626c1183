import { expect, test } from "vitest";
import { type Point, toLineRows } from "./points.ts";

const SERIES = [{ key: "a", label: "A", color: "red" }];
const point = (at: number, a: number | null, incomplete = false): Point => ({ at, incomplete, values: { a } });

test("the incomplete bucket is dashed and joined to the last complete one", () => {
  expect(toLineRows([point(1, 10), point(2, 20), point(3, 5, true)], SERIES)).toEqual([
    { at: 1, incomplete: false, a: 10, "a incomplete": null },
    { at: 2, incomplete: false, a: 20, "a incomplete": 20 },
    { at: 3, incomplete: true, a: null, "a incomplete": 5 },
  ]);
});

test("without an incomplete bucket nothing is dashed", () => {
  expect(toLineRows([point(1, 10), point(2, 20)], SERIES).every((row) => row["a incomplete"] === null)).toBe(true);
});
