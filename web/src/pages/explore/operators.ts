// What operators compare with.

import type { Operator } from "./question.ts";

export const valueCount = (op: Operator): "none" | "one" | "two" | "many" => {
  if (op === "set" || op === "unset") return "none";
  if (op === "between") return "two";
  return isNumeric(op) ? "one" : "many";
};

export const isNumeric = (op: Operator): boolean => ["gt", "gte", "lt", "lte", "between"].includes(op);
