// What cannot be sent, and why, by the place in the builder: "series.0.property", "where.items.2.values".

import { isDraft } from "./finished.ts";
import { isNumeric, valueCount } from "./operators.ts";
import { problemWords as words } from "./problemWords.ts";
import {
  type EventRef,
  type Group,
  type Item,
  needsProperty,
  type Operator,
  type Question,
  seriesLetter,
} from "./question.ts";

export type Problems = ReadonlyMap<string, string>;

/** A JSON number. */
const isNumber = (text: string): boolean => /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text.trim());

const MAX_WINDOW = 90 * 86_400;

export function validate(question: Question): Problems {
  const problems = new Map<string, string>();
  const add = (path: string, text: string | undefined) => {
    if (text !== undefined) problems.set(path, text);
  };
  const within = (path: string, value: number | undefined, low: number, high: number) => {
    if (value !== undefined && (value < low || value > high)) add(path, words.between(low, high));
  };
  const event = (path: string, { where }: EventRef) => group(`${path}.where`, where);

  function group(path: string, { items }: Group, inDid = false): void {
    for (const [index, item] of items.entries()) condition(`${path}.${index}`, item, inDid);
  }

  function condition(path: string, item: Item, inDid: boolean): void {
    if (item.type === "group") {
      if (item.group.items.length === 0) add(path, words.emptyGroup);
      group(path, item.group, inDid);
      return;
    }
    if (item.type === "did") {
      if (inDid) add(path, words.nestedDid);
      within(`${path}.times`, item.times, 1, 1000);
      if (item.within !== undefined && item.within < 60) add(`${path}.within`, words.withinMinute);
      group(`${path}.where`, item.where, true);
      return;
    }
    if (isDraft(item)) return;
    add(`${path}.values`, valuesProblem(item.op, item.values));
  }

  group("where", question.where);
  within("top", question.top, 1, question.kind === "paths" ? 200 : 50);
  switch (question.kind) {
    case "trend": {
      if (question.series.length === 0) add("series", words.noSeries);
      for (const [index, series] of question.series.entries()) {
        const path = `series.${index}`;
        event(path, series);
        if (needsProperty(series.measure) && series.property === "") add(`${path}.property`, words.chooseNumber);
      }
      if (question.formula.trim() !== "") add("formula", formulaProblem(question.formula, question.series.length));
      for (const [index, field] of question.by.entries()) if (field === "") add(`by.${index}`, words.chooseProperty);
      if (question.by.length === 2 && question.by[0] === question.by[1]) add("by.1", words.sameBreakdown);
      break;
    }
    case "funnel": {
      const { steps, window, exclusions, attribution } = question;
      if (steps.length < 2) add("steps", words.twoSteps);
      for (const [index, step] of steps.entries()) event(`steps.${index}`, step);
      if (window !== undefined && (window < 1 || window > MAX_WINDOW)) add("window", words.window);
      for (const [index, exclusion] of exclusions.entries()) {
        const { from = 1, to = steps.length } = exclusion;
        event(`exclusions.${index}`, exclusion);
        if (from < 1 || to > steps.length || from >= to)
          add(`exclusions.${index}.steps`, words.exclusionSteps(steps.length));
      }
      if (typeof attribution === "number" && (attribution < 1 || attribution > steps.length))
        add("attribution", words.between(1, steps.length));
      break;
    }
    case "retention":
      event("start", question.start);
      event("back", question.back);
      within("periods", question.periods, 1, 31);
      break;
    case "paths":
      if (question.event) event("event", question.event);
      within("steps", question.steps, 1, 5);
      for (const [index, { pattern }] of question.rules.entries())
        if (pattern === "") add(`rules.${index}`, words.pattern);
      break;
  }
  return problems;
}

function valuesProblem(op: Operator, values: string[]): string | undefined {
  const count = valueCount(op);
  if (count === "none") return undefined;
  if (values.length === 0 || values.every((value) => value === "")) return words.enterValue;
  if (count === "two" && values.filter((value) => value !== "").length < 2) return words.twoNumbers;
  const wrong = isNumeric(op) ? values.find((value) => !isNumber(value)) : undefined;
  if (wrong !== undefined) return words.noNumber(wrong);
  if (count === "two" && Number(values[0]) > Number(values[1])) return words.wrongOrder;
  return undefined;
}

const TOKENS = /\s*(?:(\d+(?:\.\d+)?|\.\d+)|([A-Za-z]+)|([-+*/()]))/y;

/** The grammar of the server: letters, numbers, + - * / and parentheses. */
export function formulaProblem(formula: string, series: number): string | undefined {
  const tokens: string[] = [];
  TOKENS.lastIndex = 0;
  const text = formula.trimEnd();
  while (TOKENS.lastIndex < text.length) {
    const at = TOKENS.lastIndex;
    const match = TOKENS.exec(text);
    if (!match) return words.formulaCharacter(text.slice(at).trim().charAt(0));
    tokens.push(match[1] ?? match[2] ?? match[3] ?? "");
  }
  let position = 0;
  let problem: string | undefined;
  const fail = (text: string) => {
    problem ??= text;
  };
  function operand(): void {
    if (tokens[position] === "-" || tokens[position] === "+") position += 1;
    const token = tokens[position];
    position += 1;
    if (token === undefined) {
      fail(words.formulaEnd);
      return;
    }
    if (token === "(") {
      sum();
      if (tokens[position] !== ")") {
        fail(words.formulaBracket);
        return;
      }
      position += 1;
      return;
    }
    if (/^[\d.]/.test(token)) return;
    if (!/^[A-Za-z]$/.test(token)) {
      fail(words.formulaOperand(token));
      return;
    }
    const index = token.toUpperCase().charCodeAt(0) - 65;
    if (index >= series) fail(words.formulaSeries(token.toUpperCase(), seriesLetter(Math.max(0, series - 1))));
  }
  function sum(): void {
    operand();
    while (problem === undefined && /^[-+*/]$/.test(tokens[position] ?? "")) {
      position += 1;
      operand();
    }
  }
  sum();
  if (problem === undefined && position < tokens.length) fail(words.formulaOperator(tokens[position] ?? ""));
  return problem;
}

/** The part of the builder that an error of the server is about: "formula: at character 3: …". */
export function serverProblem(reason: string): { path: string; text: string } | undefined {
  const [, field, text] = /^([a-z_]+)(?:\[\d+\])?[\w.[\]]*: (.+)$/s.exec(reason) ?? [];
  const path = field && PLACES[field];
  return path && text ? { path, text } : undefined;
}

const PLACES: Record<string, string> = {
  series: "series",
  property: "series",
  aggregation: "series",
  steps: "steps",
  filter: "where",
  formula: "formula",
  breakdown: "by",
  limit: "top",
  window: "window",
  exclusions: "exclusions",
  attribution_step: "attribution",
  group_by: "per",
  bucket: "bucket",
  periods: "periods",
  rules: "rules",
  event_names: "only",
  field: "field",
};
