import { expect, test } from "vitest";
import { dimension, frame, measure } from "../test/frames.ts";
import { sortedRows } from "./sortedRows.ts";

const pages = frame([
  dimension("page_url", ["/pricing", "/", "/docs", "/Blog"]),
  measure("views", [4, 30, null, 9007199254740993n]),
]);
const order = (change: Partial<Parameters<typeof sortedRows>[1]>) =>
  sortedRows(pages, { descending: false, search: "", ...change }).columns[0]?.values;

test("rows are sorted by any column, missing values last in both directions", () => {
  expect(order({ column: "views" })).toEqual(["/pricing", "/", "/Blog", "/docs"]);
  expect(order({ column: "views", descending: true })).toEqual(["/Blog", "/", "/pricing", "/docs"]);
  expect(order({ column: "page_url" })).toEqual(["/", "/Blog", "/docs", "/pricing"]);
});

test("rows are found by what is shown of them, in upper or lower case", () => {
  expect(order({ search: "BLOG" })).toEqual(["/Blog"]);
  expect(order({ search: "30" })).toEqual(["/"]);
  expect(order({ search: "nothing" })).toEqual([]);
});

test("without an order and a search the frame is the same one", () => {
  expect(sortedRows(pages, { descending: true, search: " " })).toBe(pages);
  expect(sortedRows(pages, { column: "gone", descending: true, search: "" })).toBe(pages);
});
