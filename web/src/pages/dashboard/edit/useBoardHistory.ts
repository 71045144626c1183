// The state of the editor: the dashboard with its changes, what can be undone, and the draft in this browser.

import { useCallback, useEffect, useMemo, useState } from "react";
import { readSetting, writeSetting } from "../../../shell/storage.ts";
import { type Board, change, type History, redo, startHistory, undo } from "../board/board.ts";
import { type Change, difference } from "../board/difference.ts";
import { type Draft, draftSetting, readDraft, writeDraft } from "../board/draft.ts";

export interface Editor {
  /** The version that was loaded when the editing began. */
  base: Board;
  board: Board;
  changes: Change[];
  canUndo: boolean;
  canRedo: boolean;
  apply: (next: (board: Board) => Board) => void;
  undo: () => void;
  redo: () => void;
  /** The changes come from a draft: Unix milliseconds. */
  draftOf: number | undefined;
  /** Forgets the draft: its changes have been saved, or are not wanted. */
  forget: () => void;
}

export function useBoardHistory(loaded: Board): Editor {
  const setting = draftSetting(loaded.project, loaded.name);
  const [{ base, history, draftOf }, set] = useState<{ base: Board; history: History; draftOf: number | undefined }>(
    () => {
      const draft = readDraft(readSetting(setting));
      if (!draft || draft.board.name !== loaded.name) {
        return { base: loaded, history: startHistory(loaded), draftOf: undefined };
      }
      // The changes of the draft can be undone in one step, to what they were made from.
      return { base: draft.base, history: change(startHistory(draft.base), draft.board), draftOf: draft.savedAt };
    },
  );
  const { present: board, past, future } = history;
  const changes = useMemo(() => difference(base, board, { byId: true }), [base, board]);

  useEffect(() => {
    const draft: Draft = { board, base, savedAt: Date.now() };
    writeSetting(setting, changes.length > 0 ? writeDraft(draft) : null);
  }, [setting, board, base, changes]);

  const update = useCallback(
    (next: (history: History) => History) => set((state) => ({ ...state, history: next(state.history) })),
    [],
  );
  const apply = useCallback(
    (next: (board: Board) => Board) => update((state) => change(state, next(state.present))),
    [update],
  );
  return {
    base,
    board,
    changes,
    canUndo: past.length > 0,
    canRedo: future.length > 0,
    apply,
    undo: useCallback(() => update(undo), [update]),
    redo: useCallback(() => update(redo), [update]),
    draftOf,
    forget: useCallback(() => writeSetting(setting, null), [setting]),
  };
}
