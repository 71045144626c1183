import { expect, test } from "vitest";
import { COMPLETIONS, complete, completionsFor, sqlProblem, wordBefore } from "./sqlText.ts";

const names = (word: string) => completionsFor(word, COMPLETIONS).map(({ text }) => text);

test("words are completed by their beginning first", () => {
  expect(names("ev")).toEqual(["events", "event_name", "event_id"]);
  expect(names("{range")[0]).toBe("{range_start:DateTime64(3, 'UTC')}");
  expect(names("name")).toEqual(["event_name"]);
  expect(names("events")).toEqual([]);
});

test("there is no word within texts and comments", () => {
  const sql = "SELECT count() -- all eve\nFROM events WHERE event_name = 'log";
  expect(wordBefore(sql, sql.indexOf("eve") + 3)).toBeUndefined();
  expect(wordBefore(sql, sql.length)).toBeUndefined();
  expect(wordBefore("SELECT eve", 10)).toEqual({ text: "eve", start: 7 });
  expect(wordBefore("x > {ra", 7)).toEqual({ text: "{ra", start: 4 });
});

test("the cursor is where the typing goes on", () => {
  expect(complete("SELECT cou", { start: 7, text: "cou" }, "count()")).toEqual({ sql: "SELECT count()", cursor: 14 });
  expect(complete("SELECT c FROM x", { start: 7, text: "c" }, "countIf()")).toEqual({
    sql: "SELECT countIf() FROM x",
    cursor: 15,
  });
  expect(complete("", { start: 0, text: "" }, "{{total('')}}").cursor).toBe(9);
});

test("errors have their line, and plain words", () => {
  expect(sqlProblem("sql: line 2: the function cunt is not allowed in panels")).toEqual({
    line: 2,
    text: "the function cunt is not allowed in panels",
  });
  expect(
    sqlProblem(
      "sql: line 2: Code: 47. DB::Exception: Unknown expression identifier `FROM` in scope SELECT event_name. (UNKNOWN_IDENTIFIER)",
    ),
  ).toEqual({ line: 2, text: "Unknown expression identifier `FROM`" });
  expect(sqlProblem("the server is busy")).toEqual({ text: "the server is busy" });
});
