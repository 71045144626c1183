// The words of an address: "page_view visitors where country_code is ES DE and not did login". A space is a plus there, so a
// link can be read.

import {
  type DidItem,
  type EventRef,
  type Exclusion,
  type Group,
  type Item,
  MEASURES,
  type Measure,
  needsProperty,
  noFilter,
  OPERATORS,
  type Operator,
  type PathRule,
  type Series,
} from "./question.ts";

interface Word {
  text: string;
  quoted: boolean;
}

const RESERVED = new Set(["and", "or", "not", "any", "did", "where", "times", "within", "from", "to", "*"]);

/** Any text as one word. */
export const quote = (text: string): string =>
  text === "" || /[\s"()\\]/.test(text) || RESERVED.has(text) ? `"${text.replaceAll(/["\\]/g, "\\$&")}"` : text;

const eventWord = (event: string): string => (event === "" ? "*" : quote(event));

const UNITS: [string, number][] = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
];

/** "14d", "90s". */
export function durationText(seconds: number): string {
  const [unit, factor] = UNITS.find(([, size]) => seconds >= size && seconds % size === 0) ?? ["s", 1];
  return `${seconds / factor}${unit}`;
}

export function parseDuration(text: string | undefined): number | undefined {
  const [, amount, unit] = /^(\d{1,9})([dhms])$/.exec(text ?? "") ?? [];
  if (amount === undefined) return undefined;
  return Number(amount) * (UNITS.find(([name]) => name === unit)?.[1] ?? 1);
}

function itemText(item: Item): string {
  const not = item.not ? "not " : "";
  switch (item.type) {
    case "field":
      return [not + quote(item.field), item.op, ...item.values.map(quote)].join(" ");
    case "did":
      return not + didText(item);
    case "group":
      return `${not}${nestedText(item.group)}`;
  }
}

function didText({ event, where, times, within }: DidItem): string {
  const parts = ["did", eventWord(event)];
  if (times !== undefined) parts.push("times", String(times));
  if (within !== undefined) parts.push("within", durationText(within));
  if (where.items.length > 0) parts.push("where", nestedText(where));
  return parts.join(" ");
}

/** With "any" where the conditions do not tell how they are joined. */
function nestedText(group: Group): string {
  const any = group.match === "any" && group.items.length < 2 ? "any " : "";
  return `(${any}${joined(group)})`;
}

const joined = ({ match, items }: Group): string => items.map(itemText).join(match === "any" ? " or " : " and ");

/** Conditions of a group that is not nested. */
export const groupText = (group: Group): string =>
  (group.match === "any" && group.items.length < 2 ? "any " : "") + joined(group);

const whereText = (where: Group): string[] => (isEmpty(where) ? [] : ["where", groupText(where)]);

const isEmpty = ({ match, items }: Group): boolean => items.length === 0 && match === "all";

export const eventText = ({ event, where }: EventRef): string => [eventWord(event), ...whereText(where)].join(" ");

export function seriesText({ event, where, measure, property }: Series): string {
  const parts = [eventWord(event)];
  if (measure !== "events" || property !== "") parts.push(measure);
  if (property !== "") parts.push(quote(property));
  return [...parts, ...whereText(where)].join(" ");
}

export function exclusionText({ event, where, from, to }: Exclusion): string {
  const parts = [eventWord(event)];
  if (from !== undefined) parts.push("from", String(from));
  if (to !== undefined) parts.push("to", String(to));
  return [...parts, ...whereText(where)].join(" ");
}

export const ruleText = ({ pattern, name }: PathRule): string =>
  [quote(pattern), ...(name === "" ? [] : [quote(name)])].join(" ");

class SyntaxProblem extends Error {}

const TOKEN = /\s*(?:"((?:[^"\\]|\\.)*)"|([()])|([^\s"()\\]+))/sy;

function tokenize(text: string): Word[] {
  const words: Word[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const match = TOKEN.exec(text);
    if (!match) throw new SyntaxProblem(text);
    const [, quoted, bracket, bare] = match;
    if (quoted !== undefined) words.push({ text: quoted.replaceAll(/\\(.)/gs, "$1"), quoted: true });
    else words.push({ text: bracket ?? bare ?? "", quoted: false });
  }
  return words;
}

const MAX_DEPTH = 10;

class Parser {
  private position = 0;
  private readonly words: Word[];

  constructor(text: string) {
    this.words = tokenize(text);
  }

  get done(): boolean {
    return this.position >= this.words.length;
  }

  /** Whether the next word is this keyword, which is then read. */
  accept(keyword: string): boolean {
    const word = this.words[this.position];
    if (!word || word.quoted || word.text !== keyword) return false;
    this.position += 1;
    return true;
  }

  word(): string {
    const word = this.words[this.position];
    if (!word || (!word.quoted && (RESERVED.has(word.text) || word.text === "(" || word.text === ")")))
      throw new SyntaxProblem("a word is missing");
    this.position += 1;
    return word.text;
  }

  event(): string {
    return this.accept("*") ? "" : this.word();
  }

  number(): number {
    const text = this.word();
    if (!/^\d{1,9}$/.test(text)) throw new SyntaxProblem(text);
    return Number(text);
  }

  duration(): number {
    const seconds = parseDuration(this.word());
    if (seconds === undefined) throw new SyntaxProblem("no duration");
    return seconds;
  }

  /** Whether a word follows that is no keyword. */
  get hasWord(): boolean {
    const word = this.words[this.position];
    return word !== undefined && (word.quoted || !(RESERVED.has(word.text) || word.text === "(" || word.text === ")"));
  }

  /** Up to the end or the closing bracket. */
  group(depth = 0): Group {
    if (depth > MAX_DEPTH) throw new SyntaxProblem("too deep");
    const any = this.accept("any");
    const items: Item[] = [];
    let joiner: "and" | "or" | undefined;
    if (!this.done && !this.isClosing) {
      items.push(this.item(depth));
      for (;;) {
        const next = this.accept("and") ? "and" : this.accept("or") ? "or" : undefined;
        if (!next) break;
        // "and" and "or" without brackets would have to be explained.
        if (joiner && joiner !== next) throw new SyntaxProblem("brackets are missing");
        joiner = next;
        items.push(this.item(depth));
      }
    }
    return { match: any || joiner === "or" ? "any" : "all", items };
  }

  private get isClosing(): boolean {
    const word = this.words[this.position];
    return word !== undefined && !word.quoted && word.text === ")";
  }

  private nested(depth: number): Group {
    if (!this.accept("(")) throw new SyntaxProblem("( is missing");
    const group = this.group(depth + 1);
    if (!this.accept(")")) throw new SyntaxProblem(") is missing");
    return group;
  }

  private item(depth: number): Item {
    const not = this.accept("not");
    if (this.accept("did")) return this.did(not, depth);
    const next = this.words[this.position];
    if (next && !next.quoted && next.text === "(") return { type: "group", not, group: this.nested(depth) };
    const field = this.word();
    const op = this.word();
    if (!OPERATORS.includes(op as Operator)) throw new SyntaxProblem(op);
    const values: string[] = [];
    while (this.hasWord) values.push(this.word());
    return { type: "field", not, field, op: op as Operator, values };
  }

  private did(not: boolean, depth: number): DidItem {
    const item: DidItem = { type: "did", not, event: this.event(), where: noFilter() };
    if (this.accept("times")) item.times = this.number();
    if (this.accept("within")) item.within = this.duration();
    if (this.accept("where")) item.where = this.nested(depth);
    return item;
  }

  where(): Group {
    return this.accept("where") ? this.group() : noFilter();
  }
}

/** Undefined if the text cannot be read. */
function parse<T>(text: string, read: (parser: Parser) => T): T | undefined {
  try {
    const parser = new Parser(text);
    const value = read(parser);
    return parser.done ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxProblem) return undefined;
    throw error;
  }
}

export const parseGroup = (text: string): Group | undefined => parse(text, (parser) => parser.group());

export const parseEvent = (text: string): EventRef | undefined =>
  parse(text, (parser) => ({ event: parser.event(), where: parser.where() }));

export const parseSeries = (text: string): Series | undefined =>
  parse(text, (parser) => {
    const event = parser.event();
    const measure = (parser.hasWord ? parser.word() : "events") as Measure;
    if (!MEASURES.includes(measure)) throw new SyntaxProblem(measure);
    const property = parser.hasWord ? parser.word() : "";
    if (property !== "" && !needsProperty(measure)) throw new SyntaxProblem(property);
    return { event, where: parser.where(), measure, property };
  });

export const parseExclusion = (text: string): Exclusion | undefined =>
  parse(text, (parser) => {
    const exclusion: Exclusion = { event: parser.event(), where: noFilter() };
    if (parser.accept("from")) exclusion.from = parser.number();
    if (parser.accept("to")) exclusion.to = parser.number();
    exclusion.where = parser.where();
    return exclusion;
  });

export const parseRule = (text: string): PathRule | undefined =>
  parse(text, (parser) => ({ pattern: parser.word(), name: parser.hasWord ? parser.word() : "" }));
