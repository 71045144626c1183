import { expect, test } from "vitest";
import {
  addItem,
  type Board,
  type BoardItem,
  change,
  drawItem,
  duplicateItem,
  fromJson,
  isFigure,
  MAX_ITEMS,
  redo,
  removeItem,
  renameItem,
  SIZES,
  startEditing,
  startHistory,
  toJson,
  undo,
  withItems,
} from "./board.ts";
import { difference } from "./difference.ts";
import { draftSetting, readDraft, writeDraft } from "./draft.ts";
import { moveBy, overlaps, resizeBy } from "./layout.ts";

const item = (id: string, panel: string, x: number, y: number, width = 6, height = 4): BoardItem => ({
  id,
  title: "",
  content: { case: "panel", value: panel },
  chart: 0,
  place: { x, y, width, height },
});
const BOARD: Board = {
  name: "shop",
  title: "Shop",
  description: "",
  project: "",
  items: [item("0", "active_users", 0, 0), item("1", "error_rate", 6, 0)],
  builtIn: false,
  etag: "abc",
  automatic: false,
};

test("an added item is in the first free place, and has an id of its own", () => {
  const added = addItem(BOARD, { content: { case: "insight", value: "revenue" } }, SIZES.medium);
  expect(added.items.at(-1)).toEqual({
    id: "new2",
    title: "",
    chart: 0,
    content: { case: "insight", value: "revenue" },
    place: { x: 0, y: 4, width: 6, height: 4 },
  });
  const more = addItem(added, { content: { case: "panel", value: "top_pages" } }, SIZES.figure);
  expect(new Set(more.items.map(({ id }) => id)).size).toBe(4);
});

test("a dashboard has no more items than the server accepts", () => {
  let board = BOARD;
  for (let i = 0; i < MAX_ITEMS + 10; i += 1) board = duplicateItem(board, "0");
  expect(board.items.length).toBe(MAX_ITEMS);
  expect(addItem(board, { content: { case: "panel", value: "x" } }, SIZES.large)).toBe(board);
});

test("a copy is independent of its original", () => {
  const query = { series: [{ eventName: "purchase" }] };
  const board: Board = { ...BOARD, items: [{ ...item("0", "", 0, 0), content: { case: "trend", value: query } }] };
  const copy = duplicateItem(board, "0").items[1];
  expect(copy?.content).toEqual(board.items[0]?.content);
  expect(copy?.content.value).not.toBe(query);
});

test("a removed item leaves no gap", () => {
  const board = { ...BOARD, items: [...BOARD.items, item("2", "top_pages", 6, 4)] };
  expect(removeItem(board, "1").items.map(({ id, place }) => [id, place.y])).toEqual([
    ["0", 0],
    ["2", 0],
  ]);
});

test("every step is undone and redone, and a new step forgets what was undone", () => {
  const steps = [
    renameItem(BOARD, "0", "Sessions"),
    removeItem(BOARD, "0"),
    addItem(BOARD, BOARD.items[0] as BoardItem, SIZES.large),
  ];
  let history = startHistory(BOARD);
  for (const step of steps) history = change(history, step);
  expect(change(history, history.present)).toBe(history);
  for (const expected of [steps[1], steps[0], BOARD]) {
    history = undo(history);
    expect(history.present).toBe(expected);
  }
  expect(undo(history)).toEqual(history);
  for (const expected of steps) {
    history = redo(history);
    expect(history.present).toBe(expected);
  }
  expect(redo(history)).toEqual(history);
  history = change(undo(history), BOARD);
  expect(history.future).toEqual([]);
});

test("what is edited has no overlaps, whatever the file has", () => {
  const board = { ...BOARD, items: [item("0", "a", 0, 0), item("1", "b", 3, 1), item("2", "c", 11, 50, 1, 1)] };
  const { items } = startEditing(board);
  for (const one of items) {
    for (const other of items) if (one !== other) expect(overlaps(one.place, other.place)).toBe(false);
  }
});

test("items of two rows are figures", () => {
  expect(isFigure(item("0", "a", 0, 0, 2, 2))).toBe(true);
  expect(isFigure(item("0", "a", 0, 0, 6, 4))).toBe(false);
});

test("JSON keeps 64-bit integers", () => {
  const value = { window: { seconds: 12345678901234567890n, nanos: 0 }, list: [1n, "1", 1, null] };
  expect(fromJson(toJson(value))).toEqual(value);
});

test("what differs is added, removed, renamed, drawn in another way, moved or resized", () => {
  let board = renameItem(BOARD, "0", "Sessions");
  board = addItem(board, { content: { case: "insight", value: "revenue" } }, SIZES.medium);
  board = { ...board, title: "Shop, Madrid", description: "Every morning" };
  board = withItems(board, moveBy(board.items, "new2", 0, -1));
  board = withItems(board, resizeBy(board.items, "1", -2, 0));
  board = drawItem(board, "1", 4);
  const changes = difference(BOARD, board, { byId: true });
  expect(changes.map(({ kind }) => kind)).toEqual([
    "title",
    "description",
    "added",
    "renamed",
    "chart",
    "resized",
    "moved",
  ]);
  expect(difference(BOARD, BOARD, { byId: true })).toEqual([]);
  expect(difference(board, removeItem(board, "1"), { byId: true })[0]).toMatchObject({
    kind: "removed",
    item: { id: "1" },
  });
});

test("versions of other sessions are compared by what they show", () => {
  const renumbered = { ...BOARD, items: BOARD.items.map((one, index) => ({ ...one, id: `x${index}` })).reverse() };
  expect(difference(BOARD, renumbered, { byId: false })).toEqual([]);
});

test("a draft survives the browser's storage; anything else is none", () => {
  const draft = { board: { ...BOARD, range: { timeRange: 3 } }, base: BOARD, savedAt: 5 };
  expect(readDraft(writeDraft(draft))).toEqual(draft);
  for (const text of [
    null,
    "",
    "{",
    "{}",
    "[]",
    "null",
    '{"board":{"items":[{}]},"savedAt":1}',
    '{"board":{"items":3}}',
  ])
    expect(readDraft(text)).toBeUndefined();
  expect(draftSetting("shop", "default")).toBe("draft.shop.default");
});
