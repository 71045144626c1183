// Changes of a dashboard that are not saved yet. They are kept in this browser, so that a reload does not lose them.

import { type Board, fromJson, toJson } from "./board.ts";

export interface Draft {
  /** The dashboard with the changes. Its etag is that of the version which was edited. */
  board: Board;
  /** What it was made from. */
  base: Board;
  /** Unix milliseconds. */
  savedAt: number;
}

/** Names are unique across projects, but a browser may know several servers' paths and projects. */
export const draftSetting = (project: string, name: string): string => `draft.${project}.${name}`;

export const writeDraft = (draft: Draft): string => toJson(draft);

/** Undefined if there is none, or if it is of another version of the page. */
export function readDraft(text: string | null): Draft | undefined {
  if (text === null) return undefined;
  try {
    const { board, base, savedAt } = (fromJson(text) ?? {}) as Partial<Draft>;
    if (!isBoard(board) || !isBoard(base) || typeof savedAt !== "number") return undefined;
    return { board, base, savedAt };
  } catch {
    // Not JSON: written by something else.
    return undefined;
  }
}

const isBoard = (board: Board | undefined): board is Board =>
  typeof board?.name === "string" &&
  Array.isArray(board.items) &&
  board.items.every(
    ({ id, content, place }) => typeof id === "string" && content?.case && typeof place?.width === "number",
  );
