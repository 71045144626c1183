import { expect, test } from "vitest";
import { type Annotation, annotationsOf, annotationsWithin, annotationWords } from "./annotations.ts";

const annotation = (at: number): Annotation => ({ name: `n${at}`, title: `At ${at}`, description: "", at });
const list = [0, 10, 25, 30, 99].map(annotation);
const times = (found: Annotation[]) => found.map(({ at }) => at);

test("a chart shows those within its time, both ends included", () => {
  expect(times(annotationsWithin(list, { start: 10, end: 30 }))).toEqual([10, 25, 30]);
});

test("a bucket has those from its start until before its end", () => {
  const plot = { times: [0, 10, 20], ends: [10, 20, 30] };
  expect([0, 1, 2, 3].map((index) => times(annotationsOf(list, plot, index)))).toEqual([[0], [10], [25], []]);
});

test("points without a duration have those that are nearest", () => {
  const plot = { times: [5, 20, 40], ends: [5, 20, 40] };
  expect([0, 1, 2].map((index) => times(annotationsOf(list, plot, index)))).toEqual([[0, 10], [25], [30, 99]]);
});

test("an annotation in words", () => {
  const at = Date.UTC(2026, 10, 21, 9, 5);
  expect(annotationWords({ ...annotation(at), title: "Release 2.4" }, "Europe/Madrid", at)).toBe(
    "Sat 21 Nov, 10:05: Release 2.4",
  );
});
