// Which events make good first questions.

import type { EventName } from "../../api/messages.ts";

export type Starter =
  | { kind: "trend"; event: string }
  | { kind: "rate"; event: string }
  | { kind: "funnel"; event: string; to: string }
  | { kind: "retention"; event: string };

const STARTED = /(start|begin|began|open|view|add|init|request|click)(s|ed|ing)?$/i;
const COMPLETED = /(complete|finish|success|succeed|submit|done|paid|purchase|confirm|close)(s|d|ed|ing)?$/i;

const FAILED = /error|exception|crash|fail/i;

/** "error_occurred", "$exception", "payment_failed": the most frequent of them. */
export const failedEvent = (names: Pick<EventName, "name">[]): string | undefined =>
  names.find(({ name }) => FAILED.test(name))?.name;

/** "signup" of "signup_started" and "signup_completed". */
const topic = (name: string): string => name.replace(/[\s._:-]?[^\s._:-]+$/, "");

/** Most frequent first. */
export function starters(names: Pick<EventName, "name" | "events">[]): Starter[] {
  const [first, second] = names;
  if (!first) return [];
  const made: Starter[] = [{ kind: "trend", event: first.name }];
  const pair = namedPair(names) ?? (second && [first.name, second.name]);
  if (pair) made.push({ kind: "funnel", event: pair[0], to: pair[1] });
  made.push({ kind: "retention", event: first.name });
  const failed = failedEvent(names);
  if (failed !== undefined) made.push({ kind: "rate", event: failed });
  return made;
}

/** Two events of one thing whose names say that one begins it and the other ends it; else a frequent and a rarer one. */
function namedPair(names: Pick<EventName, "name" | "events">[]): [string, string] | undefined {
  const all = names.map(({ name }) => name);
  for (const from of all.filter((name) => STARTED.test(name))) {
    const then = all.find((name) => COMPLETED.test(name) && topic(name) !== "" && topic(name) === topic(from));
    if (then !== undefined) return [from, then];
  }
  return undefined;
}
