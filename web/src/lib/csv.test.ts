import { expect, test } from "vitest";
import { toCsv } from "./csv.ts";
import { column } from "./table.ts";

const columns = [column("at", "From", "time"), column("page_url", "Page", "text"), column("views", "Views", "count")];

test("the header has the contract's field names, timestamps are in UTC and values are not rounded", () => {
  const table = { columns, rows: [[Date.UTC(2026, 0, 2, 3, 4), "/a", 1234.5]] };
  expect(toCsv(table)).toBe("at,page_url,views\r\n2026-01-02T03:04:00.000Z,/a,1234.5\r\n");
});

test("text with separators is quoted", () => {
  expect(toCsv({ columns, rows: [[0, 'a "b", c\nd', null]] })).toContain('"a ""b"", c\nd",\r\n');
});

test("text that starts like a formula is escaped", () => {
  expect(toCsv({ columns, rows: [[0, "=HYPERLINK(1)", 1]] })).toContain(",'=HYPERLINK(1),1");
});

test("negative numbers are not escaped", () => {
  expect(toCsv({ columns, rows: [[0, "/", -5]] })).toContain(",/,-5\r\n");
});
