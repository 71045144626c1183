import { expect, test } from "vitest";
import { funnelOf, noFilter, type Question, seriesOf, trendOf } from "./question.ts";
import { formulaProblem, serverProblem, validate } from "./validate.ts";

const problems = (question: Question) => Object.fromEntries(validate(question));

test("complete questions have no problems", () => {
  expect(problems(trendOf([seriesOf("a")]))).toEqual({});
  expect(problems(funnelOf(["a", "b"]))).toEqual({});
});

test("what is missing is named at its place", () => {
  const where = {
    match: "all" as const,
    items: [
      { type: "field" as const, not: false, field: "", op: "is" as const, values: ["x"] },
      { type: "field" as const, not: false, field: "price", op: "gt" as const, values: ["a"] },
      { type: "field" as const, not: false, field: "price", op: "between" as const, values: ["5", "2"] },
      { type: "did" as const, not: false, event: "x", where: noFilter(), times: 0 },
      { type: "group" as const, not: false, group: noFilter() },
    ],
  };
  expect(problems({ ...trendOf([{ ...seriesOf("a", "sum"), where }]), by: ["a", "a"], top: 51 })).toEqual({
    "series.0.property": "Choose the property with the numbers",
    "series.0.where.1.values": "“a” is not a number",
    "series.0.where.2.values": "The first number is larger than the second one",
    "series.0.where.3.times": "From 1 to 1000",
    "series.0.where.4": "Add a condition, or remove the group",
    "by.1": "This is the first breakdown already",
    top: "From 1 to 50",
  });
  expect(
    problems({ ...funnelOf(["a"]), window: 0, exclusions: [{ event: "b", where: noFilter(), from: 2, to: 2 }] }),
  ).toEqual({
    steps: "A funnel needs at least two steps",
    window: "From a second to 90 days",
    "exclusions.0.steps": "From an earlier to a later step, 1 to 1",
  });
});

test("formulas", () => {
  for (const formula of ["A", "100 * B / A", "-(A + B) / 2.5", "a-b"])
    expect(formulaProblem(formula, 2)).toBeUndefined();
  expect(formulaProblem("A +", 2)).toBe("Something is missing at the end");
  expect(formulaProblem("C", 2)).toBe("There is no series C: the last one is B");
  expect(formulaProblem("(A", 1)).toBe("A closing parenthesis is missing");
  expect(formulaProblem("A B", 2)).toBe("An operator is missing before “B”");
  expect(formulaProblem("A % 2", 1)).toContain("“%” is not part of a formula");
});

test("errors of the server are shown where they belong", () => {
  expect(serverProblem("formula: at character 3: expected a series")).toEqual({
    path: "formula",
    text: "at character 3: expected a series",
  });
  expect(serverProblem("filter: x: not a number")).toEqual({ path: "where", text: "x: not a number" });
  expect(serverProblem("the server is busy")).toBeUndefined();
});
