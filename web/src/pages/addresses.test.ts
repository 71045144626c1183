// The address of every page: what the page has of its own survives together with the view, which all pages have.

import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Random } from "../lib/random.testing.ts";
import { randomView } from "../shell/randomView.testing.ts";
import { formatSearch, parseSearch, readView, type Search, viewSearch, writeView } from "../shell/view.ts";
import { type BoardView, readBoardView, writeBoardView } from "./dashboard/board/address.ts";
import { type Read, readQuestion, writeQuestion } from "./explore/address.ts";
import { randomQuestion } from "./explore/randomQuestion.testing.ts";
import { readSql, type SqlView, writeSql } from "./explore/sqlAddress.ts";
import { type LiveView, RATES, readLive, writeLive } from "./live/address.ts";
import { type Condition, OPERATORS, takesValue } from "./live/conditions.ts";
import { readPeople, type Wanted, writeWanted } from "./people/address.ts";

beforeAll(() => void vi.useFakeTimers({ now: Date.UTC(2026, 10, 21, 10) }));
afterAll(() => void vi.useRealTimers());

const HOME = "Europe/Madrid";
const TEXTS = ["a", "a b", "x&y=z", "50%", "#1", "1:2", "é", "日本", "+", "?", "a/b\\c", "two\nlines", "a.b:c", "%2F"];

interface Case<State> {
  make: (random: Random) => State;
  write: (state: State, search: Search) => Search;
  read: (search: Search) => unknown;
}
const of = <State>(one: Case<State>) => one as Case<unknown>;

function randomCondition(random: Random): Condition {
  const operator = random.pick(OPERATORS);
  const isNumber = operator.startsWith("greater") || operator.startsWith("less");
  const value = !takesValue(operator) ? "" : isNumber ? random.pick(["12", "-1.5", "0"]) : random.pick(TEXTS);
  return { field: random.pick(["event_name", "properties.a b", "properties.x:y!~*", "ключ"]), operator, value };
}

const distinct = <T>(values: T[]): T[] => [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
const optional = (random: Random) => (random.chance(50) ? random.pick(TEXTS) : undefined);

const CASES: Record<string, Case<unknown>> = {
  "a dashboard": of<BoardView>({
    make: (random) => ({
      main: optional(random),
      parameters: Object.fromEntries(
        ["top_pages", "my-panel"]
          .filter(() => random.chance(50))
          .map((panel) => [
            panel,
            { limit: random.pick(TEXTS), ...(random.chance(50) && { url: random.pick(TEXTS) }) },
          ]),
      ),
      edit: random.chance(50),
    }),
    write: writeBoardView,
    read: readBoardView,
  }),
  "a question": of<Read>({
    make: (random) => ({ question: randomQuestion(random), rejected: [] }),
    write: ({ question }, search) => writeQuestion(question, search),
    read: readQuestion,
  }),
  "a statement": of<SqlView>({
    make: (random) => ({
      sql: random.pick(TEXTS),
      values: Object.fromEntries(
        ["limit", "url"].filter(() => random.chance(50)).map((name) => [name, random.pick(TEXTS)]),
      ),
    }),
    write: (view, search) => ({ ...search, ...writeSql(view) }),
    read: readSql,
  }),
  "live events": of<LiveView & { rejected: string[] }>({
    make: (random) => ({
      show: random.pick(["accepted", "rejected"] as const),
      conditions: distinct(random.many(4, () => randomCondition(random))),
      rate: random.pick(RATES),
      reason: optional(random),
      rejected: [],
    }),
    write: (view, search) => ({ ...search, ...writeLive(view) }),
    read: readLive,
  }),
  people: of<Wanted & { figure: string }>({
    make: (random) => ({
      figure: "",
      id: optional(random) ?? "",
      trait: optional(random) ?? "",
      value: optional(random) ?? "",
    }),
    write: (wanted, search) => ({ ...search, ...writeWanted(wanted) }),
    read: readPeople,
  }),
  "the list of dashboards": of<string | undefined>({
    make: optional,
    write: (q, search) => ({ ...search, q }),
    read: ({ q }) => q,
  }),
};

test.each(Object.entries(CASES))("%s and the view survive one address, and the view goes to other pages", (_, one) => {
  const random = new Random(23);
  for (let run = 0; run < 200; run += 1) {
    const state = one.make(random);
    const view = randomView(random);
    const text = formatSearch(one.write(state, writeView(view)));
    // As a browser has it.
    const search = parseSearch(new URL(`http://host/${text}`).search);
    expect(one.read(search), text).toEqual(state);
    expect(readView(search, HOME), text).toEqual(view);
    expect(formatSearch(one.write(one.read(search), search)), text).toBe(text);
    const { range, zone, compare, filters } = view;
    expect(readView(viewSearch(search), HOME), text).toEqual({ range, zone, compare, filters, wall: false });
  }
});
