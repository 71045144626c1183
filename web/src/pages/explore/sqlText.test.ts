import { expect, test } from "vitest";
import { COMPLETIONS, complete, completionsFor, declaredParameters, sqlProblem, wordBefore } from "./sqlText.ts";

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

test("parameters are those that the header declares, as the server reads it", () => {
  const sql = `-- title: Features
  --parameter: limit UInt16 = 10 from 1 to 100: maximum number: of features
-- parameter: url String = /a from b
-- parameter:empty String =: may be empty
-- parameter: share Float64 = -0.5
-- parameter: limit UInt32 = 7
-- parameter: nothing
-- a comment
SELECT 1
-- parameter: late UInt16 = 1`;
  expect(declaredParameters(sql)).toEqual([
    { name: "limit", type: "UInt16", defaultValue: "10", description: "maximum number: of features" },
    { name: "url", type: "String", defaultValue: "/a", description: "" },
    { name: "empty", type: "String", defaultValue: "", description: "may be empty" },
    { name: "share", type: "Float64", defaultValue: "-0.5", description: "" },
  ]);
  expect(declaredParameters("SELECT {limit:UInt16}")).toEqual([]);
});

test("a rejected value names its parameter", () => {
  expect(sqlProblem('limit: "500" is invalid; expected an integer from 1 to 100')).toEqual({
    parameter: "limit",
    text: '"500" is invalid; expected an integer from 1 to 100',
  });
  expect(sqlProblem("page_url: the value has 2000 bytes; the maximum is 1024").parameter).toBe("page_url");
  expect(sqlProblem("filters: the panel sql cannot be filtered").parameter).toBeUndefined();
});
