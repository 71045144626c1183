// A dashboard while it is shown and edited, and what can be done with it. Plain data and pure functions.

import type { QueryRange } from "../../../api/messages.ts";
import { compact, firstFree, type Place, type Placed, withinGrid } from "./layout.ts";

/** A query of Explore, as the contract has it. */
export type QueryKind = "trend" | "funnel" | "retention" | "paths";

export type Content =
  | { case: "panel"; value: string }
  | { case: "insight"; value: string }
  // The page does not look into the queries: it shows and saves them as they are.
  | { case: QueryKind; value: object };

export interface BoardItem extends Placed {
  /** Unique on the dashboard, and the same until it is reloaded. */
  id: string;
  /** Instead of the title of the panel or of the insight. May be empty. */
  title: string;
  content: Content;
  /** `InsightChart` of the contract; 0 if the query chooses. */
  chart: number;
  place: Place;
  /** Why the server cannot show it. */
  error?: string;
}

export interface Board {
  name: string;
  title: string;
  description: string;
  /** Empty: every project. */
  project: string;
  /** The range at first, as the contract has it. */
  range?: Pick<QueryRange, "timeRange" | "interval">;
  items: BoardItem[];
  builtIn: boolean;
  /** Of the file. Empty if there is none. */
  etag: string;
  /** No item has a place of its own: the page arranges them by what they are. */
  automatic: boolean;
}

/** At most so many items: the server's limit. */
export const MAX_ITEMS = 100;

/** Items that are this low are figures without a chart. */
export const FIGURE_HEIGHT = 2;
export const isFigure = ({ place }: Pick<BoardItem, "place">): boolean => place.height <= FIGURE_HEIGHT;

/** Identifies what is shown, not where: two items with the same panel have the same one. */
export const contentKey = ({ case: kind, value }: Content): string =>
  typeof value === "string" ? `${kind}:${value}` : `${kind}:${toJson(value)}`;

// ---- editing

const replaceItem = (board: Board, id: string, change: (item: BoardItem) => BoardItem): Board => ({
  ...board,
  items: board.items.map((item) => (item.id === id ? change(item) : item)),
});

const nextId = ({ items }: Board): string => {
  const used = items.map(({ id }) => Number(id.replace(/^new/, ""))).filter((id) => !Number.isNaN(id));
  return `new${Math.max(-1, ...used) + 1}`;
};

export const SIZES = {
  figure: { width: 2, height: 2 },
  medium: { width: 6, height: 4 },
  large: { width: 12, height: 4 },
} as const;

export type Added = Pick<BoardItem, "content"> & Partial<Pick<BoardItem, "title" | "chart">>;

/** In the first free place. The same board if it has no space for more. */
export function addItem(board: Board, added: Added, size: { width: number; height: number }): Board {
  if (board.items.length >= MAX_ITEMS) return board;
  const place = firstFree(board.items, size.width, size.height);
  const item: BoardItem = { id: nextId(board), title: "", chart: 0, ...added, place };
  return { ...board, items: [...board.items, item] };
}

export function duplicateItem(board: Board, id: string): Board {
  const original = board.items.find((item) => item.id === id);
  if (!original) return board;
  const { content, title, chart, place } = original;
  return addItem(board, { content: structuredClone(content), title, chart }, place);
}

export const removeItem = (board: Board, id: string): Board => ({
  ...board,
  items: compact(board.items.filter((item) => item.id !== id)),
});

export const renameItem = (board: Board, id: string, title: string): Board =>
  replaceItem(board, id, (item) => ({ ...item, title: title.trim() }));

/** `chart`: `InsightChart` of the contract. */
export const drawItem = (board: Board, id: string, chart: number): Board =>
  replaceItem(board, id, (item) => ({ ...item, chart }));

/** The items at other places. The same board if nothing has changed. */
export function withItems(board: Board, items: BoardItem[]): Board {
  const changed = items.some((item, index) => item !== board.items[index]);
  return changed ? { ...board, items, automatic: false } : board;
}

/** What can be edited: every item has a place within the grid and no two overlap. */
export const startEditing = (board: Board): Board => ({
  ...board,
  automatic: false,
  items: compact(board.items.map((item) => ({ ...item, place: withinGrid(item.place) }))),
});

// ---- undo

export interface History {
  past: Board[];
  present: Board;
  future: Board[];
}

const MAX_UNDO = 100;

export const startHistory = (board: Board): History => ({ past: [], present: board, future: [] });

export function change(history: History, next: Board): History {
  if (next === history.present) return history;
  return { past: [...history.past, history.present].slice(-MAX_UNDO), present: next, future: [] };
}

export function undo({ past, present, future }: History): History {
  const before = past.at(-1);
  return before
    ? { past: past.slice(0, -1), present: before, future: [present, ...future] }
    : { past, present, future };
}

export function redo({ past, present, future }: History): History {
  const [after, ...rest] = future;
  return after ? { past: [...past, present], present: after, future: rest } : { past, present, future };
}

// ---- JSON

/** Queries have 64-bit integers, for times and durations. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? { $int: String(inner) } : inner));

export const fromJson = (text: string): unknown =>
  JSON.parse(text, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && "$int" in inner ? BigInt((inner as { $int: string }).$int) : inner,
  );
