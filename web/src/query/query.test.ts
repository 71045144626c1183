import { expect, test } from "vitest";
import { exploreQuery, panelQuery, queryKey, sameSource, sourceKey } from "./query.ts";

const trend = (eventName: string) => ({ kind: "trend" as const, request: { series: [{ eventName }] } });
const selection = {
  range: "7d",
  zone: "UTC",
  compare: "week",
  filters: [{ dimension: "plan", value: "pro" }],
} as const;
const all = { ...selection, filters: [...selection.filters] };

test("equal questions have equal keys, also when they are copies", () => {
  expect(queryKey(exploreQuery(trend("a"), all))).toBe(queryKey(structuredClone(exploreQuery(trend("a"), all))));
  expect(queryKey(exploreQuery(trend("a"), all))).not.toBe(queryKey(exploreQuery(trend("b"), all)));
  expect(queryKey(exploreQuery(trend("a"), { ...all, range: "1h" }))).not.toBe(queryKey(exploreQuery(trend("a"), all)));
  expect(sourceKey(exploreQuery(trend("a"), all)).length).toBeLessThan(24);
});

test("of a selection, what a question can follow applies", () => {
  expect(exploreQuery(trend("a"), all)).toMatchObject({ compare: "week", filters: all.filters });
  const funnel = exploreQuery({ kind: "funnel", request: {} }, all);
  expect(funnel.compare).toBeUndefined();
  expect(funnel.filters).toEqual(all.filters);
});

test("results stand in for those of the same panel, or of the same kind of question", () => {
  const panel = (name: string) => panelQuery({ name, filterable: true, comparable: true }, all);
  expect(sameSource(panel("a"), panel("a"))).toBe(true);
  expect(sameSource(panel("a"), panel("b"))).toBe(false);
  expect(sameSource(panel("a"), exploreQuery(trend("a"), all))).toBe(false);
  expect(sameSource(exploreQuery(trend("a"), all), exploreQuery(trend("b"), all))).toBe(true);
  expect(sameSource(exploreQuery(trend("a"), all), exploreQuery({ kind: "paths", request: {} }, all))).toBe(false);
});
