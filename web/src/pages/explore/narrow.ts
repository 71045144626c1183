// A funnel restricted to a value of a breakdown.

import type { FieldItem, Funnel, Group } from "./question.ts";

/** A value of a property. */
export interface FieldValue {
  field: string;
  value: string;
}

function withItem(where: Group, item: FieldItem): Group {
  if (where.match === "all" || where.items.length === 0) return { match: "all", items: [...where.items, item] };
  return { match: "all", items: [{ type: "group", not: false, group: where }, item] };
}

/**
 * The funnel of those who have the value, or of those who do not. The condition is on the step that the breakdown takes its values
 * from: other steps may lack the property. Of the last step reached nobody knows in advance which one it is.
 */
export function onlyValue(question: Funnel, { field, value }: FieldValue, not = false): Funnel {
  const item: FieldItem = { type: "field", not, field, op: "is", values: [value] };
  const { attribution, steps } = question;
  if (attribution === "last") return { ...question, where: withItem(question.where, item) };
  const valued = attribution === "first" ? 0 : attribution - 1;
  return {
    ...question,
    steps: steps.map((step, index) => (index === valued ? { ...step, where: withItem(step.where, item) } : step)),
  };
}
