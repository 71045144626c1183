import { expect, test } from "vitest";
import { Random } from "../../lib/random.testing.ts";
import { formatSearch, parseSearch } from "../../shell/view.ts";
import { sqlCurlCommand } from "./document.ts";
import { readSql, type SqlView, writeSql } from "./sqlAddress.ts";

const address = (view: SqlView) => formatSearch(writeSql(view));
const read = (text: string) => readSql(parseSearch(text));

const TEXTS = [
  "50",
  "-1.5",
  "a:b",
  "/pricing?x=1&y=2#é",
  "50%",
  "+",
  "two\nlines",
  "日本",
  "'it''s'",
  " ",
  "{limit:UInt16}",
  "\\",
];

test("every statement and its values survive the address", () => {
  const random = new Random(11);
  for (let i = 0; i < 1_000; i += 1) {
    const names = ["limit", "page_url", "_1", "MAX"].filter(() => random.chance(50));
    const view: SqlView = {
      sql: random.chance(90) ? `SELECT ${random.pick(TEXTS)}\n-- ${random.pick(TEXTS)}` : "",
      values: Object.fromEntries(names.map((name) => [name, random.pick(TEXTS)])),
    };
    const text = address(view);
    // As a browser has it.
    expect(read(new URL(`http://host/${text}`).search), text).toEqual(view);
    expect(address(read(text))).toBe(text);
  }
});

test("addresses are readable, and what is no value is left out", () => {
  expect(address({ sql: "SELECT 1", values: { limit: "50" } })).toBe("?sql=SELECT+1&set=limit:50");
  expect(read("?set=limit&set=:5&set=a-b:1&set=ok:")).toEqual({ sql: "", values: {} });
});

test("a command has the range, the filters and the values", () => {
  const selection = { range: "24h", zone: "UTC", filters: [{ dimension: "country_code", value: "ES" }] } as const;
  const view = { sql: "SELECT 'a'", values: { limit: "50" } };
  expect(sqlCurlCommand(view, { ...selection, filters: [...selection.filters] }, "http://host/sub/")).toBe(
    `curl 'http://host/sub/api/query/sql' \\\n  -d '{"sql":"SELECT '\\''a'\\''",` +
      `"range":{"time_range":"TIME_RANGE_24H","time_zone":"UTC"},` +
      `"filters":[{"dimension":"country_code","values":["ES"]}],"parameters":{"limit":"50"}}'`,
  );
  expect(sqlCurlCommand({ sql: "SELECT 1", values: {} }, { range: "24h", zone: "UTC" }, "http://host/")).not.toMatch(
    /filters|parameters/,
  );
});
