import { expect, test } from "vitest";
import { finished } from "./finished.ts";
import { type FieldItem, funnelOf, type Group, noFilter, seriesOf, trendOf } from "./question.ts";
import { validate } from "./validate.ts";
import { questionWords } from "./words.ts";

const field = (change: Partial<FieldItem> = {}): FieldItem => ({
  type: "field",
  not: false,
  field: "plan",
  op: "is",
  values: ["pro"],
  ...change,
});
const all = (...items: Group["items"]): Group => ({ match: "all", items });

test("a condition that is being entered changes nothing, and is no mistake", () => {
  const empty = field({ field: "", values: [] });
  const question = { ...funnelOf(["a", "b"]), where: all(empty, field(), field({ values: [] })) };
  expect([...validate(question)]).toEqual([]);
  expect(finished(question).where).toEqual(all(field()));
  expect(questionWords(finished(question))).toBe("a → b, plan is pro");
  const nested = { type: "group", not: false, group: { match: "any", items: [empty] } } as const;
  expect(finished({ ...question, where: all({ ...nested, group: { match: "any", items: [empty] } }) }).where).toEqual(
    noFilter(),
  );
  expect(finished({ ...question, where: { match: "any", items: [empty] } }).where).toEqual(noFilter());
  const series = { ...seriesOf("a"), where: all(empty) };
  expect(finished(trendOf([series]))).toEqual(trendOf([seriesOf("a")]));
});

test("conditions without values, and values that were deleted, stay", () => {
  const set = field({ op: "set", values: [] });
  expect(finished({ ...trendOf([seriesOf("a")]), where: all(set) }).where).toEqual(all(set));
  const deleted = { ...trendOf([seriesOf("a")]), where: all(field({ op: "gt", values: [""] })) };
  expect([...validate(deleted).keys()]).toEqual(["where.0.values"]);
});
