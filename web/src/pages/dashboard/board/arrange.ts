// Where the items of a dashboard are on the screen. A dashboard without places of its own is arranged by what its items are: a
// strip of key figures, the main chart with a ranking beside it, then the other rankings and charts.

import { balancedRows, COLUMNS, stretch } from "../grid.ts";
import { type Board, type BoardItem, contentKey, FIGURE_HEIGHT, isFigure } from "./board.ts";
import { type Place, readingOrder } from "./layout.ts";

/**
 * What an item is to the arrangement. `number`: figures only. `time`: over time, so it can be the main chart. `list`: a ranking.
 * `wide`: needs the whole width.
 */
export type ItemKind = "number" | "time" | "funnel" | "list" | "wide" | "other";

export interface Cell {
  /** Unique, and stable while the dashboard is the same. */
  key: string;
  item: BoardItem;
  kind: ItemKind;
  as: "figure" | "card";
  /** On wide screens. */
  place: Place;
  /** The place that a key figure brings its chart to. */
  isMain: boolean;
  /** Columns on narrower screens, in the order of the cells. */
  phone: number;
  tablet: number;
}

type Sketch = Pick<Cell, "key" | "item" | "kind" | "as" | "place">;

/** So many figures fit beside each other. */
const FIGURES_IN_ROW = 6;
const MAIN_HEIGHT = 5;
const CARD_HEIGHT = 5;
const MAIN_WIDTH = 8;

const WIDTHS = { number: 3, time: 4, funnel: 4, list: 4, other: 4, wide: 6 } as const;

export interface Arrangement {
  kindOf: (item: BoardItem) => ItemKind;
  /** What the main chart shows, as `contentKey`. Its own if absent or unknown. */
  main?: string;
}

export function arrange(board: Board, { kindOf, main }: Arrangement): Cell[] {
  const sketched = board.automatic ? automatic(board.items, kindOf) : placed(board.items, kindOf);
  const ordered = sketched.sort(readingOrderOfCells);
  const slot = ordered.find(isMainSlot)?.key;
  const spans = narrowSpans(ordered);
  const cells = ordered.map((cell) => ({ ...cell, isMain: cell.key === slot, ...(spans.get(cell.key) as Spans) }));
  return main === undefined ? cells : withMain(cells, main);
}

const readingOrderOfCells = (a: Sketch, b: Sketch): number =>
  readingOrder({ id: a.key, place: a.place }, { id: b.key, place: b.place });

const placed = (items: BoardItem[], kindOf: Arrangement["kindOf"]): Sketch[] =>
  items.map((item) => ({
    key: item.id,
    item,
    kind: kindOf(item),
    as: isFigure(item) ? "figure" : "card",
    place: item.place,
  }));

/** The first chart over time that is large enough to be looked at first. */
const isMainSlot = ({ kind, as, place }: Sketch): boolean => as === "card" && kind === "time" && place.width >= 5;

function automatic(items: BoardItem[], kindOf: Arrangement["kindOf"]): Sketch[] {
  const known = items.map((item) => ({ item, kind: kindOf(item) }));
  const figures = figuresOf(known);
  const cards = known.filter(({ kind }) => kind !== "number");
  const main = cards.find(({ kind }) => kind === "time");
  const beside = main && cards.find(({ kind }) => kind === "list");
  const rest = cards.filter((one) => one !== main && one !== beside);
  const inOrder = [...rest.filter(({ kind }) => kind === "wide"), ...rest.filter(({ kind }) => kind !== "wide")];

  const cells: Sketch[] = [];
  let y = 0;
  const addRow = (row: typeof known, spans: number[], as: Cell["as"], height: number) => {
    let x = 0;
    for (const [index, { item, kind }] of row.entries()) {
      const width = spans[index] ?? COLUMNS;
      cells.push({
        key: as === "figure" ? `figure-${item.id}` : item.id,
        item,
        kind,
        as,
        place: { x, y, width, height },
      });
      x += width;
    }
    y += height;
  };
  const addRows = (group: typeof known, widths: number[], as: Cell["as"], height: number) => {
    let from = 0;
    for (const row of balancedRows(widths)) {
      addRow(group.slice(from, from + row.length), stretch(row), as, height);
      from += row.length;
    }
  };
  addRows(
    figures,
    figures.map(() => COLUMNS / FIGURES_IN_ROW),
    "figure",
    FIGURE_HEIGHT,
  );
  if (main && beside) addRow([main, beside], [MAIN_WIDTH, COLUMNS - MAIN_WIDTH], "card", MAIN_HEIGHT);
  else if (main) addRow([main], [COLUMNS], "card", MAIN_HEIGHT);
  addRows(
    inOrder,
    inOrder.map(({ kind }) => WIDTHS[kind]),
    "card",
    CARD_HEIGHT,
  );
  return cells;
}

/** All numbers, which have no other place, and as many charts as the row has space for. One figure alone says nothing new. */
function figuresOf(known: { item: BoardItem; kind: ItemKind }[]): typeof known {
  const numbers = known.filter(({ kind }) => kind === "number");
  const charts = known.filter(({ kind }) => kind === "time" || kind === "funnel");
  const added = charts.slice(0, Math.max(0, FIGURES_IN_ROW - numbers.length));
  if (numbers.length + added.length < 2) return numbers;
  const chosen = new Set([...numbers, ...added]);
  return known.filter((one) => chosen.has(one));
}

/** Shows something else in the main slot. If that has a card of its own, the two change places. */
function withMain(cells: Cell[], main: string): Cell[] {
  const slot = cells.find(({ isMain }) => isMain);
  const isWanted = (cell: Cell) => contentKey(cell.item.content) === main && cell.kind !== "number";
  const wanted = cells.find((cell) => cell.as === "card" && isWanted(cell)) ?? cells.find(isWanted);
  if (!slot || !wanted || contentKey(slot.item.content) === main) return cells;
  return cells.map((cell) => {
    if (cell === slot) return { ...cell, item: wanted.item, kind: wanted.kind };
    if (cell === wanted && wanted.as === "card") return { ...cell, item: slot.item, kind: slot.kind };
    return cell;
  });
}

/** Which figures can be the main chart: those with something to draw, if there is a main chart. */
export const canBeMain = (cells: Cell[], { kind }: Pick<Cell, "kind">): boolean =>
  (kind === "time" || kind === "funnel") && cells.some(({ isMain }) => isMain);

interface Spans {
  phone: number;
  tablet: number;
}

/** On narrower screens cells follow each other in rows without holes: figures two or three beside each other. */
function narrowSpans(ordered: Sketch[]): Map<string, Spans> {
  const spans = new Map<string, Spans>();
  const groups: Sketch[][] = [];
  for (const cell of ordered) {
    const last = groups.at(-1);
    if (last?.[0]?.as === cell.as) last.push(cell);
    else groups.push([cell]);
  }
  for (const group of groups) {
    const figures = group[0]?.as === "figure";
    const widths = (phone: boolean) =>
      group.map(({ place, kind }) =>
        figures ? (phone ? 6 : 4) : phone || kind === "wide" || place.width > 6 ? COLUMNS : 6,
      );
    const filled = (phone: boolean) => balancedRows(widths(phone)).flatMap((row) => stretch(row));
    const [phone, tablet] = [filled(true), filled(false)];
    for (const [index, { key }] of group.entries()) {
      spans.set(key, { phone: phone[index] ?? COLUMNS, tablet: tablet[index] ?? COLUMNS });
    }
  }
  return spans;
}

/** The dashboard with what is seen as its places: figures that the page has added become items. */
export function asPlaced(board: Board, kindOf: Arrangement["kindOf"]): Board {
  if (!board.automatic) return board;
  const items = automatic(board.items, kindOf)
    .sort(readingOrderOfCells)
    .map(({ item, place }, index) => ({ ...item, id: String(index), place }));
  return { ...board, items, automatic: false };
}
