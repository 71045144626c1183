import { expect, test } from "vitest";
import { funnelOf, seriesOf, trendOf } from "./question.ts";
import { asRate } from "./rate.ts";
import { questionWords } from "./words.ts";

test("a title has the events of a formula, and says what a rate is a share of", () => {
  const question = {
    ...trendOf([seriesOf("signup_completed"), seriesOf("")]),
    formula: "100 * B / A",
    by: ["release"],
  };
  expect(questionWords(question)).toBe("100 * Any event / signup_completed by release");
  const share = "signup_completed, share of all events by release";
  expect(questionWords({ ...question, formula: "100 * A / B" })).toBe(share);
  expect(questionWords(asRate({ ...question, formula: "" }))).toBe(share);
});

test("a rate of any event is one of the suggested event", () => {
  expect(questionWords(asRate(trendOf([seriesOf("")]), "login"))).toBe("login, share of all events");
  expect(questionWords(asRate(trendOf([seriesOf("login"), seriesOf("page_view", "visitors")])))).toBe(
    "login, share of all events",
  );
  expect(questionWords(asRate(trendOf([seriesOf("login"), seriesOf("page_view")])))).toBe("login, share of page_view");
});

test("a title says by what the steps are filtered", () => {
  const [first, second] = funnelOf(["a", "b"]).steps;
  if (!first || !second) throw new Error("two steps");
  const where = {
    match: "all",
    items: [{ type: "field", not: false, field: "country_code", op: "is", values: ["DE"] }],
  } as const;
  const question = {
    ...funnelOf(["a", "b"]),
    steps: [{ ...first, where: { ...where, items: [...where.items] } }, second],
  };
  expect(questionWords({ ...question, steps: question.steps as never })).toBe("a (country is Germany) → b");
});
