// A question without one of its filters, to find the one that removes everything.

import { filterWords } from "../../frame/words.ts";
import type { Filter, Selection } from "../../query/query.ts";
import { type Group, noFilter, type Question } from "./question.ts";
import { itemWords } from "./words.ts";

interface Relaxed {
  /** The filter in words. */
  words: string;
  question: Question;
  filters: Filter[];
}

/** The question without each of its conditions, and without each filter of the page. */
export function withoutEach(question: Question, { filters = [] }: Selection): Relaxed[] {
  const relaxed: Relaxed[] = filters.map((filter) => ({
    words: filterWords(filter),
    question,
    filters: filters.filter((other) => other !== filter),
  }));
  const add = (group: Group, replace: (group: Group) => Question) => {
    for (const [index, item] of group.items.entries()) {
      const items = group.items.filter((_, at) => at !== index);
      // Without a condition of "any of", less passes: the whole group has to go.
      const rest = group.match === "any" ? noFilter() : { ...group, items };
      relaxed.push({ words: itemWords(item), question: replace(rest), filters });
      if (group.match === "any") break;
    }
  };
  add(question.where, (where) => ({ ...question, where }));
  switch (question.kind) {
    case "trend":
      for (const [index, series] of question.series.entries())
        add(series.where, (where) => ({
          ...question,
          series: question.series.map((old, at) => (at === index ? { ...old, where } : old)),
        }));
      break;
    case "funnel":
      for (const [index, step] of question.steps.entries())
        add(step.where, (where) => ({
          ...question,
          steps: question.steps.map((old, at) => (at === index ? { ...old, where } : old)),
        }));
      break;
    case "retention":
      add(question.start.where, (where) => ({ ...question, start: { ...question.start, where } }));
      break;
    case "paths": {
      const { event } = question;
      if (event) add(event.where, (where) => ({ ...question, event: { ...event, where } }));
    }
  }
  return relaxed;
}
