import { expect, test } from "vitest";
import { COLUMNS } from "../grid.ts";
import { arrange, asPlaced, type Cell, canBeMain, type ItemKind } from "./arrange.ts";
import type { Board, BoardItem } from "./board.ts";
import { compact, overlaps } from "./layout.ts";

const KINDS: Record<string, ItemKind> = {
  active_users: "time",
  live_visitors: "number",
  traffic_anomaly: "number",
  signup_conversion: "funnel",
  error_rate: "time",
  top_features: "list",
  traffic_by_country: "time",
  top_pages: "wide",
};
const kindOf = ({ content }: BoardItem): ItemKind => KINDS[String(content.value)] ?? "other";
const board = (names: string[], automatic = true): Board => ({
  name: "default",
  title: "Overview",
  description: "",
  project: "",
  items: names.map((name, index) => ({
    id: String(index),
    title: "",
    content: { case: "panel", value: name },
    chart: 0,
    place: { x: 0, y: index * 4, width: 12, height: 4 },
  })),
  builtIn: true,
  etag: "",
  automatic,
});
const DEFAULT = board(Object.keys(KINDS));
const nameOf = ({ item }: Cell) => String(item.content.value);

test("the built-in dashboard: six figures, the main chart with a ranking beside it, then everything else", () => {
  const cells = arrange(DEFAULT, { kindOf });
  const figures = cells.filter(({ as }) => as === "figure");
  expect(figures.map(nameOf)).toEqual([
    "active_users",
    "live_visitors",
    "traffic_anomaly",
    "signup_conversion",
    "error_rate",
    "traffic_by_country",
  ]);
  expect(figures.every(({ place }) => place.width === 2 && place.y === 0)).toBe(true);
  expect(figures.map(({ phone, tablet }) => [phone, tablet])).toEqual(figures.map(() => [6, 4]));
  const [main, beside, ...rest] = cells.filter(({ as }) => as === "card");
  expect(main && nameOf(main)).toBe("active_users");
  expect(main?.isMain).toBe(true);
  expect(main?.place).toEqual({ x: 0, y: 2, width: 8, height: 5 });
  expect(beside && nameOf(beside)).toBe("top_features");
  expect(rest.map(nameOf).sort()).toEqual(["error_rate", "signup_conversion", "top_pages", "traffic_by_country"]);
});

test("any number of panels of any kind is arranged without overlaps and holes, each with a place", () => {
  const names = Object.keys(KINDS);
  for (let count = 0; count <= 24; count += 1) {
    const some = Array.from({ length: count }, (_, index) => names[(index * 5 + count) % names.length] as string);
    const cells = arrange(board(some), { kindOf });
    const keys = cells.map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
    for (const [index, cell] of cells.entries()) {
      for (const other of cells.slice(index + 1)) expect(overlaps(cell.place, other.place)).toBe(false);
    }
    const shown = new Set(cells.map(({ item }) => item.id));
    expect(shown.size).toBe(count);
    const rows = new Map<number, number>();
    for (const { place } of cells) rows.set(place.y, (rows.get(place.y) ?? 0) + place.width);
    for (const width of rows.values()) expect(width).toBe(COLUMNS);
    for (const screen of ["phone", "tablet"] as const) {
      let column = 0;
      for (const cell of cells) {
        column += cell[screen];
        expect(column).toBeLessThanOrEqual(COLUMNS);
        column %= COLUMNS;
      }
      expect(column).toBe(0);
    }
  }
});

test("a key figure brings its chart to the main place, and the former main chart takes the place of it", () => {
  const before = arrange(DEFAULT, { kindOf });
  const after = arrange(DEFAULT, { kindOf, main: "panel:error_rate" });
  const at = (cells: Cell[], name: string) => cells.find((cell) => cell.as === "card" && nameOf(cell) === name)?.place;
  expect(at(after, "error_rate")).toEqual(at(before, "active_users"));
  expect(at(after, "active_users")).toEqual(at(before, "error_rate"));
  expect(after.map(({ key }) => key)).toEqual(before.map(({ key }) => key));
  expect(after.filter(({ as }) => as === "figure").map(nameOf)).toEqual(
    before.filter(({ as }) => as === "figure").map(nameOf),
  );
});

test("what cannot be drawn, or is unknown, never becomes the main chart", () => {
  const before = arrange(DEFAULT, { kindOf });
  for (const main of ["panel:live_visitors", "panel:nothing", "panel:active_users"])
    expect(arrange(DEFAULT, { kindOf, main })).toEqual(before);
  const can = (name: string) => canBeMain(before, before.find((cell) => nameOf(cell) === name) as Cell);
  expect(can("error_rate")).toBe(true);
  expect(can("live_visitors")).toBe(false);
});

test("a dashboard with places keeps them; low items are figures", () => {
  const own = board(["error_rate", "top_pages"], false);
  own.items[0] = { ...(own.items[0] as BoardItem), place: { x: 0, y: 0, width: 3, height: 2 } };
  const cells = arrange(own, { kindOf });
  expect(cells.map(({ as, place }) => [as, place.width, place.height])).toEqual([
    ["figure", 3, 2],
    ["card", 12, 4],
  ]);
});

test("editing an arranged dashboard starts from what is seen", () => {
  const edited = asPlaced(DEFAULT, kindOf);
  expect(edited.automatic).toBe(false);
  expect(edited.items.length).toBe(12);
  expect(compact(edited.items)).toEqual(edited.items);
  const seen = arrange(DEFAULT, { kindOf }).map(({ place, as }) => [place, as]);
  expect(arrange(edited, { kindOf }).map(({ place, as }) => [place, as])).toEqual(seen);
});
