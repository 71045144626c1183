// What differs between two versions of a dashboard, in words.

import { type Board, type BoardItem, contentKey, toJson } from "./board.ts";
import { samePlace } from "./layout.ts";

export type Change =
  | { kind: "title" | "description"; before: string; after: string }
  | { kind: "range" }
  | { kind: "added" | "removed" | "query" | "chart"; item: BoardItem }
  | { kind: "renamed"; item: BoardItem; before: string }
  | { kind: "moved" | "resized"; items: BoardItem[] };

/**
 * Pairs the items of two versions. Within one session they have the same ids; versions of different files are paired by what
 * they show, in their order.
 */
function pairs(before: Board, after: Board, byId: boolean): { pairs: [BoardItem, BoardItem][]; rest: BoardItem[][] } {
  const keyOf = (item: BoardItem) => (byId ? item.id : contentKey(item.content));
  const open = new Map<string, BoardItem[]>();
  for (const item of before.items) open.set(keyOf(item), [...(open.get(keyOf(item)) ?? []), item]);
  const found: [BoardItem, BoardItem][] = [];
  const added: BoardItem[] = [];
  for (const item of after.items) {
    const old = open.get(keyOf(item))?.shift();
    if (old) found.push([old, item]);
    else added.push(item);
  }
  return { pairs: found, rest: [[...open.values()].flat(), added] };
}

/** In the order of the sentences. Moved and resized items are one change each. */
export function difference(before: Board, after: Board, { byId }: { byId: boolean }): Change[] {
  const changes: Change[] = [];
  for (const kind of ["title", "description"] as const) {
    if (before[kind] !== after[kind]) changes.push({ kind, before: before[kind], after: after[kind] });
  }
  if (toJson(before.range ?? null) !== toJson(after.range ?? null)) changes.push({ kind: "range" });
  const matched = pairs(before, after, byId);
  const [removed = [], added = []] = matched.rest;
  for (const item of removed) changes.push({ kind: "removed", item });
  for (const item of added) changes.push({ kind: "added", item });
  const moved: BoardItem[] = [];
  const resized: BoardItem[] = [];
  for (const [old, item] of matched.pairs) {
    if (old.title !== item.title) changes.push({ kind: "renamed", item, before: old.title });
    if (contentKey(old.content) !== contentKey(item.content)) changes.push({ kind: "query", item });
    if (old.chart !== item.chart) changes.push({ kind: "chart", item });
    if (old.place.width !== item.place.width || old.place.height !== item.place.height) resized.push(item);
    else if (!samePlace(old.place, item.place)) moved.push(item);
  }
  if (resized.length > 0) changes.push({ kind: "resized", items: resized });
  if (moved.length > 0) changes.push({ kind: "moved", items: moved });
  return changes;
}
