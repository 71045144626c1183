// Conditions on events, in the address as `where=field:value`. Those on one field with the same operator are alternatives, as in
// the filters of the dashboards; different ones have to hold together.

import type { Filter } from "../../query/query.ts";

export const OPERATORS = [
  "is",
  "is-not",
  "contains",
  "contains-not",
  "matches",
  "greater",
  "greater-or-equal",
  "less",
  "less-or-equal",
  "is-set",
  "is-not-set",
] as const;
export type Operator = (typeof OPERATORS)[number];

export interface Condition {
  /** As in FieldCondition.field. */
  field: string;
  operator: Operator;
  /** Empty for `is-set` and `is-not-set`. */
  value: string;
}

/** What stands between the field and the colon. */
const SIGNS: Record<Operator, string> = {
  is: "",
  "is-not": "!",
  contains: "~",
  "contains-not": "!~",
  matches: "*",
  greater: ">",
  "greater-or-equal": ">=",
  less: "<",
  "less-or-equal": "<=",
  "is-set": "?",
  "is-not-set": "!?",
};

/** FieldOperator of the contract. */
const CODES: Record<Operator, number> = {
  is: 1,
  "is-not": 2,
  contains: 3,
  "contains-not": 4,
  matches: 5,
  greater: 6,
  "greater-or-equal": 7,
  less: 8,
  "less-or-equal": 9,
  "is-set": 11,
  "is-not-set": 12,
};

export const isAboutNumber = (operator: Operator): boolean =>
  operator.startsWith("greater") || operator.startsWith("less");
export const takesValue = (operator: Operator): boolean => operator !== "is-set" && operator !== "is-not-set";

/** Signs and colons in a name are escaped, so that the first colon ends it. */
const encodeField = (field: string) =>
  field
    .replace(/[^\w.$@/-]/gu, encodeURIComponent)
    .replaceAll("*", "%2A")
    .replaceAll("!", "%21")
    .replaceAll("~", "%7E");

export const formatCondition = ({ field, operator, value }: Condition): string =>
  `${encodeField(field)}${SIGNS[operator]}:${value}`;

const PATTERN = /^([^:!~*<>?]+)(!~|!\?|!|~|\*|>=|<=|>|<|\?)?:(.*)$/s;

/** Undefined if the text is not a condition that the server would accept. */
export function parseCondition(text: string): Condition | undefined {
  const [, name, sign = "", value = ""] = PATTERN.exec(text) ?? [];
  const operator = OPERATORS.find((each) => SIGNS[each] === sign);
  if (name === undefined || operator === undefined) return undefined;
  const field = decode(name);
  if (field === undefined || value.length > MAX_VALUE_LENGTH) return undefined;
  if (!takesValue(operator)) return { field, operator, value: "" };
  if (value === "" || (isAboutNumber(operator) && !isNumber(value))) return undefined;
  return { field, operator, value };
}

/** The server's limits: 2,048 bytes of a value, 100 conditions. */
const MAX_VALUE_LENGTH = 2_048;
export const MAX_CONDITIONS = 100;

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** A number as JSON writes it. */
const isNumber = (text: string) => /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text);

/** Why a condition cannot be added as it is typed. */
export function problemOf({ operator, value }: Condition): "value" | "number" | undefined {
  if (!takesValue(operator)) return undefined;
  if (value === "") return "value";
  return isAboutNumber(operator) && !isNumber(value) ? "number" : undefined;
}

export const sameCondition = (a: Condition, b: Condition): boolean => formatCondition(a) === formatCondition(b);

/** The usable conditions of the address, without duplicates, and the texts of the others. */
export function readConditions(texts: string[]): { conditions: Condition[]; rejected: string[] } {
  const conditions: Condition[] = [];
  const rejected: string[] = [];
  for (const text of texts) {
    const condition = parseCondition(text);
    if (!condition || conditions.length >= MAX_CONDITIONS) rejected.push(text);
    else if (!conditions.some((other) => sameCondition(other, condition))) conditions.push(condition);
  }
  return { conditions, rejected };
}

/** With one more, unless it is there already. */
export const withCondition = (conditions: Condition[], added: Condition): Condition[] =>
  conditions.some((condition) => sameCondition(condition, added)) ? conditions : [...conditions, added];

/** Conditions with the same key are alternatives. Two comparisons of numbers are the bounds of an interval. */
export const groupKey = ({ field, operator, value }: Condition): string =>
  `${field}\t${operator}\t${isAboutNumber(operator) ? value : ""}`;

/** EventFilter of the contract. */
export interface EventFilterInit {
  condition:
    | { case: "field"; value: { field: string; operator: number; values: string[] } }
    | { case: "all"; value: { filters: EventFilterInit[] } };
}

/** What the conditions and the filters of the dashboards select together; undefined for every event. */
export function eventFilter(conditions: Condition[], filters: Filter[] = []): EventFilterInit | undefined {
  const groups = new Map<string, { field: string; operator: number; values: string[] }>();
  const all: Condition[] = [
    ...filters.map(({ dimension, value }): Condition => ({ field: dimension, operator: "is", value })),
    ...conditions,
  ];
  for (const condition of all) {
    const { field, operator, value } = condition;
    const key = groupKey(condition);
    const group = groups.get(key) ?? { field, operator: CODES[operator], values: [] };
    if (takesValue(operator) && !group.values.includes(value)) group.values.push(value);
    groups.set(key, group);
  }
  const fields = [...groups.values()].map((value): EventFilterInit => ({ condition: { case: "field", value } }));
  if (fields.length < 2) return fields[0];
  return { condition: { case: "all", value: { filters: fields } } };
}

const OWN_FIELDS = ["event_name", "session_id", "user_id", "device_type", "country_code"];

/** The condition that a value of an event's JSON stands for. Only scalars at the top level can be compared. */
export function conditionOf(path: string[], text: string): Condition | undefined {
  const [first = "", second] = path;
  const field =
    path.length === 1 && OWN_FIELDS.includes(first)
      ? first
      : path.length === 2 && first === "properties"
        ? `properties.${second}`
        : undefined;
  if (field === undefined || text.length > MAX_VALUE_LENGTH) return undefined;
  return text === "" ? { field, operator: "is-not-set", value: "" } : { field, operator: "is", value: text };
}
