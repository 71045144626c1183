import { expect, test } from "vitest";
import { panelInfo } from "../../test/fakeLive.ts";
import { balancedRows, COLUMNS, kioskPages, placePanels, SCREENS, stretch } from "./grid.ts";

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

test("at every width every row is full, for any number of panels", () => {
  const sizes = ["small", "medium", "large"] as const;
  for (let count = 1; count <= 30; count++) {
    const panels = Array.from({ length: count }, (_, index) =>
      panelInfo(`p${index}`, { order: index, size: sizes[(index * 7 + count) % 3] }),
    );
    const placed = placePanels(panels);
    expect(placed.length).toBe(count);
    for (const screen of SCREENS) {
      let column = 0;
      for (const { spans } of placed) {
        column += spans[screen];
        expect(column).toBeLessThanOrEqual(COLUMNS);
        if (column === COLUMNS) column = 0;
      }
      expect(column).toBe(0);
    }
  }
});

test("figures come first, each group in the order of the catalogue", () => {
  const panels = [
    panelInfo("chart_b", { order: 2 }),
    panelInfo("figure_b", { order: 9, size: "small" }),
    panelInfo("chart_a", { order: 1 }),
    panelInfo("figure_a", { order: 3, size: "small" }),
  ];
  expect(placePanels(panels).map(({ panel }) => panel.name)).toEqual(["figure_a", "figure_b", "chart_a", "chart_b"]);
});

test("on a phone figures are two in a row", () => {
  const panels = ["a", "b", "c", "d"].map((name) => panelInfo(name, { size: "small" }));
  expect(placePanels(panels).map(({ spans }) => spans.phone)).toEqual([6, 6, 6, 6]);
});

test("kiosk mode shows all charts, a screenful at a time", () => {
  const panels = Array.from({ length: 8 }, (_, index) => panelInfo(`p${index}`, { order: index }));
  const pages = kioskPages([...panels, panelInfo("visitors", { size: "small" })]);
  expect(pages.map(({ charts }) => charts.length)).toEqual([4, 4]);
  expect(pages.every(({ figures }) => figures.length === 1)).toBe(true);
});
