// The question without the conditions that are still being entered: it goes on being answered meanwhile.

import { valueCount } from "./operators.ts";
import type { EventRef, Group, Item, Question } from "./question.ts";

/** A condition whose property or first value has not been chosen yet. */
export const isDraft = (item: Item): boolean =>
  item.type === "field" && (item.field === "" || (item.values.length === 0 && valueCount(item.op) !== "none"));

/** The same object if nothing is left out. */
function finishedGroup(group: Group): Group {
  const items = group.items.flatMap((item): Item[] => {
    if (isDraft(item)) return [];
    if (item.type === "did") {
      const where = finishedGroup(item.where);
      return [where === item.where ? item : { ...item, where }];
    }
    if (item.type === "group") {
      const inner = finishedGroup(item.group);
      if (inner === item.group) return [item];
      return inner.items.length === 0 ? [] : [{ ...item, group: inner }];
    }
    return [item];
  });
  const same = items.length === group.items.length && items.every((item, index) => item === group.items[index]);
  if (same) return group;
  // "Any of" nothing lets no event pass.
  return items.length === 0 ? { match: "all", items } : { ...group, items };
}

function finishedEvent<T extends EventRef>(ref: T): T {
  const where = finishedGroup(ref.where);
  return where === ref.where ? ref : { ...ref, where };
}

export function finished(question: Question): Question {
  const where = finishedGroup(question.where);
  switch (question.kind) {
    case "trend":
      return { ...question, where, series: question.series.map(finishedEvent) };
    case "funnel": {
      const { steps, exclusions } = question;
      return { ...question, where, steps: steps.map(finishedEvent), exclusions: exclusions.map(finishedEvent) };
    }
    case "retention":
      return { ...question, where, start: finishedEvent(question.start), back: finishedEvent(question.back) };
    case "paths":
      return { ...question, where, ...(question.event && { event: finishedEvent(question.event) }) };
  }
}
