// What differs between two versions of a dashboard.

import { type Board, type BoardItem, contentKey, toJson } from "./board.ts";
import { samePlace } from "./layout.ts";

export type Change =
  | { kind: "title" | "description"; before: string; after: string }
  | { kind: "range"; before: Board["range"]; after: Board["range"] }
  | { kind: "added" | "removed"; item: BoardItem }
  | { kind: "renamed" | "query" | "chart"; pair: Pair }
  | { kind: "moved" | "resized"; pairs: Pair[] };

/** An item in both versions. */
export type Pair = readonly [before: BoardItem, after: BoardItem];

/**
 * Pairs the items of two versions. Within one session they have the same ids; versions of different files are paired by what
 * they show, in their order.
 */
function pairs(before: Board, after: Board, byId: boolean): { pairs: Pair[]; rest: BoardItem[][] } {
  const keyOf = (item: BoardItem) => (byId ? item.id : contentKey(item.content));
  const open = new Map<string, BoardItem[]>();
  for (const item of before.items) open.set(keyOf(item), [...(open.get(keyOf(item)) ?? []), item]);
  const found: Pair[] = [];
  const added: BoardItem[] = [];
  for (const item of after.items) {
    const old = open.get(keyOf(item))?.shift();
    if (old) found.push([old, item]);
    else added.push(item);
  }
  return { pairs: found, rest: [[...open.values()].flat(), added] };
}

/** All moved items are one change, and all resized ones: the others make way for one. */
export function difference(before: Board, after: Board, { byId }: { byId: boolean }): Change[] {
  const changes: Change[] = [];
  for (const kind of ["title", "description"] as const) {
    if (before[kind] !== after[kind]) changes.push({ kind, before: before[kind], after: after[kind] });
  }
  if (toJson(before.range ?? null) !== toJson(after.range ?? null))
    changes.push({ kind: "range", before: before.range, after: after.range });
  const matched = pairs(before, after, byId);
  const [removed = [], added = []] = matched.rest;
  for (const item of removed) changes.push({ kind: "removed", item });
  for (const item of added) changes.push({ kind: "added", item });
  const moved: Pair[] = [];
  const resized: Pair[] = [];
  for (const pair of matched.pairs) {
    const [old, item] = pair;
    if (old.title !== item.title) changes.push({ kind: "renamed", pair });
    if (contentKey(old.content) !== contentKey(item.content)) changes.push({ kind: "query", pair });
    if (old.chart !== item.chart) changes.push({ kind: "chart", pair });
    if (old.place.width !== item.place.width || old.place.height !== item.place.height) resized.push(pair);
    else if (!samePlace(old.place, item.place)) moved.push(pair);
  }
  if (resized.length > 0) changes.push({ kind: "resized", pairs: resized });
  if (moved.length > 0) changes.push({ kind: "moved", pairs: moved });
  return changes;
}
