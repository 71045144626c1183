import { expect, test } from "vitest";
import { OTHER_KEY } from "../frame/timeSeries.ts";
import { inKnownOrder, rememberOrder } from "./seriesOrder.ts";

const series = (...keys: string[]) => keys.map((key) => ({ key }));
const keysOf = (list: { key: string }[]) => list.map(({ key }) => key);

test("updates do not change the order, new values come after the known ones, the others last", () => {
  expect(keysOf(inKnownOrder("q", series("b", "a", OTHER_KEY)))).toEqual(["b", "a", OTHER_KEY]);
  rememberOrder("q", series("b", "a", OTHER_KEY));
  expect(keysOf(inKnownOrder("q", series("c", "a", "b", OTHER_KEY)))).toEqual(["b", "a", "c", OTHER_KEY]);
  rememberOrder("q", series("b", "a", "c", OTHER_KEY));
  // What is missing for a moment comes back to its place.
  rememberOrder("q", series("c", "a"));
  expect(keysOf(inKnownOrder("q", series("c", "a", "b")))).toEqual(["b", "a", "c"]);
});

test("each query has its own order", () => {
  rememberOrder("one", series("a", "b"));
  expect(keysOf(inKnownOrder("two", series("b", "a")))).toEqual(["b", "a"]);
});
