// What the SQL editor knows: names to complete, and where the cursor is. Pure.

import type { PanelParameter } from "../../frame/catalog.ts";

export interface Completion {
  text: string;
  /** What it is. */
  detail: string;
  kind: "table" | "column" | "parameter" | "template" | "function" | "keyword" | "property";
}

const of = (kind: Completion["kind"], entries: Record<string, string>): Completion[] =>
  Object.entries(entries).map(([text, detail]) => ({ text, detail, kind }));

/** Of docs/panels.md and queries/schema. */
export const COMPLETIONS: Completion[] = [
  ...of("table", {
    events: "every event",
    rollup: "counts and sets by minute",
  }),
  ...of("column", {
    event_name: "String",
    timestamp: "DateTime64(3)",
    session_id: "String",
    user_id: "String",
    device_type: "String",
    country_code: "String",
    properties: "JSON as text",
    event_id: "UUID",
  }),
  ...of("parameter", {
    "{range_start:DateTime64(3, 'UTC')}": "start of the time range",
    "{range_end:DateTime64(3, 'UTC')}": "end of the time range, excluded",
    "{time_zone:String}": "the time zone of the page",
    "{buckets:Array(UInt32)}": "starts of the buckets, in seconds",
    "{minute_start:DateTime('UTC')}": "the current minute",
    "{hour_start:DateTime('UTC')}": "the current hour",
    "{week_ago_start:DateTime('UTC')}": "the same hour a week ago",
  }),
  ...of("template", {
    "{{series('')}}": "the rollup by bucket, of an event",
    "{{total('')}}": "the rollup of the range, of an event",
    "{{distinct_count(visitors)}}": "distinct visitors of a set",
    "{{distinct_count(sessions)}}": "distinct sessions of a set",
  }),
  ...of("function", {
    "count()": "rows",
    "countIf()": "rows that meet a condition",
    "uniqExact()": "distinct values",
    "quantile(0.95)()": "95th percentile",
    "toStartOfHour()": "the hour of a time",
    "toDate()": "the day of a time",
    "JSONExtractString(properties, '')": "a property as text",
    "JSONExtractFloat(properties, '')": "a property as a number",
  }),
  ...of("keyword", {
    SELECT: "",
    FROM: "",
    WHERE: "",
    "GROUP BY": "",
    "ORDER BY": "",
    HAVING: "",
    LIMIT: "",
    DESC: "",
    AND: "",
    OR: "",
    AS: "",
    WITH: "",
  }),
];

/**
 * Of the header, the comments at the beginning: "-- parameter: limit UInt16 = 10 from 1 to 100: how many". What has another form is
 * left out: the server says why.
 */
export function declaredParameters(sql: string): PanelParameter[] {
  const parameters = new Map<string, PanelParameter>();
  for (const line of sql.split("\n")) {
    const [, comment] = /^\s*--(.*)$/.exec(line) ?? [];
    if (comment === undefined) break;
    const [, name = "", type = "", defaultValue = "", description = ""] =
      /^\s*parameter\s*:\s*(\w+) +(\w+)\s*=([^:]*?)(?: from [^:]*)?(?::(.*))?$/.exec(comment) ?? [];
    if (name === "" || parameters.has(name)) continue;
    parameters.set(name, { name, type, defaultValue: defaultValue.trim(), description: description.trim() });
  }
  return [...parameters.values()];
}

export interface Word {
  text: string;
  start: number;
}

/** The beginning of a word before the cursor. Within a text or a comment there is none. */
export function wordBefore(sql: string, cursor: number): Word | undefined {
  const line = sql.slice(sql.lastIndexOf("\n", cursor - 1) + 1, cursor);
  if (/--/.test(line) || (line.split("'").length - 1) % 2 === 1) return undefined;
  const text = /(\{\{?\w*|[A-Za-z_]\w*)$/.exec(line)?.[1];
  return text === undefined ? undefined : { text, start: cursor - text.length };
}

const MOST = 8;

/** Names that begin with the word, then those that contain it. */
export function completionsFor(word: string, all: Completion[]): Completion[] {
  const lower = word.toLowerCase();
  const starts = all.filter(({ text }) => text.toLowerCase().startsWith(lower) && text.toLowerCase() !== lower);
  const contains = lower.length < 3 ? [] : all.filter(({ text }) => text.toLowerCase().slice(1).includes(lower));
  return [...new Set([...starts, ...contains])].slice(0, MOST);
}

/** The text with the completion, and where the cursor is then: between empty quotes or parentheses, if there are some. */
export function complete(sql: string, { start, text }: Word, completion: string): { sql: string; cursor: number } {
  const empty = Math.max(
    completion.indexOf("''"),
    completion.endsWith("()") && completion !== "count()" ? completion.length - 2 : -1,
  );
  const cursor = start + (empty >= 0 ? empty + 1 : completion.length);
  return { sql: sql.slice(0, start) + completion + sql.slice(start + text.length), cursor };
}

export interface SqlProblem {
  /** From 1. */
  line?: number;
  /** The parameter whose value was rejected. */
  parameter?: string;
  text: string;
}

/** "sql: line 2: the function cunt is not allowed". Plain words first: codes and names of exceptions are left out. */
export function sqlProblem(reason: string): SqlProblem {
  const [, parameter, expected] = /^(\w+): (.* is invalid; expected .*|the value has .*)$/s.exec(reason) ?? [];
  if (parameter && parameter !== "sql" && expected) return { parameter, text: expected };
  const [, line, rest] = /^(?:sql: )?(?:line (\d+): )?(.*)$/s.exec(reason) ?? [];
  const text = (rest ?? reason)
    .replace(/^Code: \d+\. DB::Exception: /, "")
    .replace(/ In scope SELECT.*$/s, "")
    .replace(/ in scope SELECT.*$/s, "")
    .replace(/\s*\(([A-Z_]+)\)$/, "");
  return line === undefined ? { text } : { line: Number(line), text };
}
