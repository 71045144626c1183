import { expect, test } from "vitest";
import { onlyValue } from "./narrow.ts";
import { type Funnel, funnelOf, type Group } from "./question.ts";

const none: Group = { match: "all", items: [] };
const team = { field: "plan", value: "team" };
const isTeam = { type: "field", not: false, field: "plan", op: "is", values: ["team"] };
const funnel: Funnel = funnelOf(["signup_started", "signup_completed"]);

test("the condition is on the step that has the value: others may lack the property", () => {
  const narrowed = onlyValue(funnel, team);
  expect(narrowed.steps.map(({ where }) => where.items)).toEqual([[isTeam], []]);
  expect(narrowed.where).toEqual(none);
  expect(onlyValue({ ...funnel, attribution: 2 }, team, true).steps.map(({ where }) => where.items)).toEqual([
    [],
    [{ ...isTeam, not: true }],
  ]);
});

test("at the last step reached it is on every step", () => {
  expect(onlyValue({ ...funnel, attribution: "last" }, team).where.items).toEqual([isTeam]);
});

test("conditions that were there stay", () => {
  const any: Group = { match: "any", items: [isTeam, isTeam] as Group["items"] };
  const steps = [{ event: "signup_started", where: any }, ...funnel.steps.slice(1)];
  expect(onlyValue({ ...funnel, steps }, team).steps[0]?.where).toEqual({
    match: "all",
    items: [{ type: "group", not: false, group: any }, isTeam],
  });
});
