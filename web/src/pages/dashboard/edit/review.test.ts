import { expect, test } from "vitest";
import type { Catalog } from "../../../frame/catalog.ts";
import { panelInfo } from "../../../test/fakeLive.ts";
import { addItem, type Board, drawItem, removeItem, renameItem, SIZES, withItems } from "../board/board.ts";
import { difference } from "../board/difference.ts";
import { moveBy, resizeBy } from "../board/layout.ts";
import { review } from "./review.ts";

const known = {
  catalog: { panels: [panelInfo("error_rate"), panelInfo("top_pages")] } as unknown as Catalog,
  insights: undefined,
};
const trend = { case: "trend", value: { series: [{ eventName: "purchase" }] } } as const;
const BOARD: Board = {
  name: "shop",
  title: "Shop",
  description: "",
  project: "",
  items: [
    { id: "0", title: "", content: { case: "panel", value: "error_rate" }, chart: 0, place: place(0, 0) },
    { id: "1", title: "Orders", content: trend, chart: 0, place: place(6, 0) },
  ],
  builtIn: false,
  etag: "1",
  automatic: false,
};
function place(x: number, y: number) {
  return { x, y, width: 6, height: 4 };
}
/** "Size: 6 columns × 4 rows > 4 columns × 4 rows", with - for what is not there. */
const text = (before: Board, after: Board, byId = true) =>
  review(difference(before, after, { byId }), known).map(({ title, mark, lines }) => [
    mark ? `${title} ${mark}` : title,
    ...lines.map(({ field, before = "-", after = "-" }) => `${field}: ${before} > ${after}`),
  ]);

test("each item has its lines: what it was and what it becomes", () => {
  let board = renameItem(BOARD, "0", "Errors");
  board = drawItem(board, "1", 5);
  board = withItems(board, resizeBy(board.items, "1", -2, 1));
  board = { ...board, title: "Shop, Madrid", description: "Every morning", range: { timeRange: 7 } };
  expect(text(BOARD, board)).toEqual([
    ["Dashboard", "Title: Shop > Shop, Madrid", "Description: - > Every morning", "Range at first: - > Today"],
    ["Errors", "Title: Error rate > Errors"],
    ["Orders", "Chart: Lines > Totals", "Size: 6 columns × 4 rows > 4 columns × 5 rows"],
  ]);
  expect(text(board, BOARD).flat()).toContain("Range at first: Today > -");
});

test("all that makes way for a moved item has a line", () => {
  const board = withItems(BOARD, moveBy(BOARD.items, "1", -6, 0));
  expect(text(BOARD, board)).toEqual([
    ["Error rate", "Position: column 1, row 1 > column 1, row 5"],
    ["Orders", "Position: column 7, row 1 > column 1, row 1"],
  ]);
});

test("what is added and removed is described, also if both have the same number", () => {
  const board = removeItem(addItem(BOARD, { content: { case: "panel", value: "top_pages" } }, SIZES.figure), "1");
  expect(text(BOARD, board)).toEqual([
    ["Orders removed", "Chart: Lines > -", "Size: 6 columns × 4 rows > -", "Position: column 7, row 1 > -"],
    ["Top pages added", "Size: - > 2 columns × 2 rows", "Position: - > column 1, row 5"],
  ]);
  const theirs = { ...board, items: board.items.map((item, index) => ({ ...item, id: String(index) })) };
  expect(text(BOARD, theirs, false)).toHaveLength(2);
});
