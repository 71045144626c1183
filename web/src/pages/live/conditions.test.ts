import { expect, test } from "vitest";
import {
  type Condition,
  conditionOf,
  eventFilter,
  formatCondition,
  OPERATORS,
  parseCondition,
  problemOf,
  readConditions,
  takesValue,
  withCondition,
} from "./conditions.ts";

const FIELDS = [
  "event_name",
  "properties.plan",
  "properties.a b",
  "properties.x:y",
  "properties.a!~*?<=>b",
  "$os",
  "ключ",
];
const VALUES = ["pro", "a:b", ":", "!", "ключ %20", "12"];

test.each(OPERATORS)("%s: the address brings the condition back", (operator) => {
  for (const field of FIELDS) {
    for (const value of operator.startsWith("greater") || operator.startsWith("less") ? ["12", "-1.5"] : VALUES) {
      const condition: Condition = { field, operator, value: takesValue(operator) ? value : "" };
      const parameters = new URLSearchParams([["where", formatCondition(condition)]]);
      const text = new URLSearchParams(parameters.toString()).get("where") ?? "";
      expect(parseCondition(text)).toEqual(condition);
    }
  }
});

test("an address is readable", () => {
  expect(formatCondition({ field: "event_name", operator: "is", value: "page_view" })).toBe("event_name:page_view");
  expect(formatCondition({ field: "properties.plan", operator: "is-not", value: "free" })).toBe(
    "properties.plan!:free",
  );
});

test("what is not a condition is rejected", () => {
  const { conditions, rejected } = readConditions([
    "plan",
    ":x",
    "plan:",
    "price>:cheap",
    "%:1",
    "plan:pro",
    "plan:pro",
  ]);
  expect(conditions).toEqual([{ field: "plan", operator: "is", value: "pro" }]);
  expect(rejected).toEqual(["plan", ":x", "plan:", "price>:cheap", "%:1"]);
});

test("what is typed is checked", () => {
  expect(problemOf({ field: "a", operator: "is", value: "" })).toBe("value");
  expect(problemOf({ field: "a", operator: "less", value: "x" })).toBe("number");
  expect(problemOf({ field: "a", operator: "is-set", value: "" })).toBeUndefined();
});

test("values of a field are alternatives, fields hold together, numbers are bounds", () => {
  const conditions = ["plan:pro", "plan:team", "price>:1", "price>:2", "plan!:free", "a?:"].map(
    (text) => parseCondition(text) as Condition,
  );
  expect(eventFilter(conditions, [{ dimension: "country_code", value: "ES" }])).toEqual({
    condition: {
      case: "all",
      value: {
        filters: [
          ["country_code", 1, ["ES"]],
          ["plan", 1, ["pro", "team"]],
          ["price", 6, ["1"]],
          ["price", 6, ["2"]],
          ["plan", 2, ["free"]],
          ["a", 11, []],
        ].map(([field, operator, values]) => ({ condition: { case: "field", value: { field, operator, values } } })),
      },
    },
  });
});

test("one condition is not in a list, none is no filter", () => {
  expect(eventFilter([])).toBeUndefined();
  expect(eventFilter([{ field: "a", operator: "is", value: "1" }])?.condition.case).toBe("field");
});

test("a value of an event's JSON", () => {
  expect(conditionOf(["user_id"], "u1")).toEqual({ field: "user_id", operator: "is", value: "u1" });
  expect(conditionOf(["properties", "plan"], "pro")).toEqual({
    field: "properties.plan",
    operator: "is",
    value: "pro",
  });
  expect(conditionOf(["properties", "plan"], "")?.operator).toBe("is-not-set");
  expect(conditionOf(["timestamp"], "x")).toBeUndefined();
  expect(conditionOf(["properties", "a", "b"], "x")).toBeUndefined();
});

test("a condition is added once", () => {
  const [condition] = readConditions(["a:1"]).conditions as [Condition];
  expect(withCondition([condition], condition)).toHaveLength(1);
});
