// Conditions in the order in which they are read as a sentence.

import { type Condition, groupKey } from "./conditions.ts";

/** Whether one of both is enough. */
export const areAlternatives = (a: Condition, b: Condition): boolean => groupKey(a) === groupKey(b);

/** Alternatives beside each other, otherwise in their order. */
export const grouped = (conditions: Condition[]): Condition[] => {
  const keys = conditions.map(groupKey);
  return conditions.toSorted((a, b) => keys.indexOf(groupKey(a)) - keys.indexOf(groupKey(b)));
};
