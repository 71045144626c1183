import { expect, test } from "vitest";
import { zoomSpan } from "./zoom.tsx";

const MINUTE = 60_000;
const times = [0, 1, 2, 3, 4].map((index) => index * 5 * MINUTE);
const plot = { times, ends: times.map((at) => at + 5 * MINUTE) };

test("a selection is widened to the buckets that it touches", () => {
  expect(zoomSpan(plot, 6 * MINUTE, 11 * MINUTE)).toEqual([5 * MINUTE, 15 * MINUTE]);
  expect(zoomSpan(plot, 6 * MINUTE, 7 * MINUTE)).toEqual([5 * MINUTE, 10 * MINUTE]);
  expect(zoomSpan(plot, -MINUTE, 7 * MINUTE)).toEqual([0, 10 * MINUTE]);
});

test("nothing, and everything, is no selection", () => {
  expect(zoomSpan({ times: [], ends: [] }, 0, 1)).toBeNull();
  expect(zoomSpan(plot, 0, 25 * MINUTE)).toBeNull();
  expect(zoomSpan(plot, 100 * MINUTE, 101 * MINUTE)).toBeNull();
  expect(zoomSpan({ times: [0, 1000, 2000], ends: [0, 1000, 2000] }, 500, 1500)).toBeNull();
});
