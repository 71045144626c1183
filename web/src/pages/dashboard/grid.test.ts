import { expect, test } from "vitest";
import { balancedRows, COLUMNS, stretch } from "./grid.ts";
import { kioskPages } from "./kioskPages.ts";

test.each([
  [
    [4, 4, 4, 4],
    [
      [4, 4],
      [4, 4],
    ],
  ],
  [
    [2, 2, 2, 2, 2, 2, 2],
    [
      [2, 2, 2],
      [2, 2, 2, 2],
    ],
  ],
  [
    [6, 4, 4],
    [[6], [4, 4]],
  ],
  [
    [12, 6],
    [[12], [6]],
  ],
  [[], []],
])("cards of %o columns go into the rows %o", (widths, rows) => {
  const found = balancedRows(widths as number[]);
  expect(found.flat()).toEqual(widths);
  expect(found.length).toBe((rows as number[][]).length);
  expect(found.map((row) => row.length).sort()).toEqual((rows as number[][]).map((row) => row.length).sort());
});

test.each([[[2, 2, 2, 2, 2]], [[4]], [[6, 4]], [[2, 2, 2, 2, 2, 2]], [[3, 6]]])("the row %o is filled", (row) => {
  const spans = stretch(row);
  expect(spans.reduce((sum, span) => sum + span, 0)).toBe(COLUMNS);
  expect(Math.min(...spans)).toBeGreaterThan(0);
});

test("a wall display shows all charts, a screenful at a time", () => {
  const charts = Array.from({ length: 8 }, (_, index) => ({ key: `p${index}`, as: "card" as const }));
  const pages = kioskPages([{ key: "visitors", as: "figure" as const }, ...charts]);
  expect(pages.map((page) => page.charts.length)).toEqual([4, 4]);
  expect(pages.every(({ figures }) => figures.length === 1)).toBe(true);
});
