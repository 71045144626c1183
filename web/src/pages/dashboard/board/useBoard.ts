// The dashboard of the page from the server, read again when its file may have changed.

import { useCallback, useEffect, useRef, useState } from "react";
import type { Insight } from "../../../api/messages.ts";
import { backoffDelayMs } from "../../../lib/backoff.ts";
import type { BoardResult } from "../../../live/protocol.ts";
import { CallError } from "../../../live/store.ts";
import { useConnection, useLive } from "../../../shell/live.ts";
import type { Board } from "./board.ts";
import { toBoard } from "./wire.ts";

export interface BoardState {
  board?: Board;
  /** The insights of the project by name. Undefined until they are known. */
  insights?: ReadonlyMap<string, Insight>;
  /** Why the newest version could not be loaded, for people. */
  failure?: string;
  /** There is no dashboard of this name. With a board: it has been deleted since. */
  missing?: boolean;
}

const stateOf = ({ dashboard, insights }: BoardResult): BoardState => ({
  board: toBoard(dashboard),
  insights: new Map(insights.map((insight) => [insight.name, insight])),
});

export interface LoadedBoard extends BoardState {
  reload: () => void;
  /** Puts a version there that is newer than the loaded one: it has just been saved. */
  replace: (board: Board) => void;
}

/** `panelsVersion`: of the catalogue, from which the server makes the built-in dashboard. */
export function useBoard(name: string, panelsVersion: string | undefined): LoadedBoard {
  const [held, setHeld] = useState<BoardState & { name: string }>({ name });
  const [attempt, setAttempt] = useState(0);
  const failures = useRef(0);
  /** The version that was known when the dashboard was requested. */
  const requestedAt = useRef<string>(undefined);
  const live = useLive();
  const { state: connection } = useConnection();
  const { insightsVersion } = connection;
  const denied = connection.phase === "denied";

  // biome-ignore lint/correctness/useExhaustiveDependencies: each attempt loads again
  useEffect(() => {
    if (denied) return;
    let left = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    requestedAt.current = insightsVersion;
    live.call({ method: "board", name }).then(
      (result) => {
        if (left) return;
        failures.current = 0;
        setHeld({ name, ...stateOf(result) });
      },
      (error: unknown) => {
        if (left) return;
        const { message, permanent, missing, retryAfterMs } = toCallError(error);
        setHeld((before) => ({ ...(before.name === name ? before : { name }), failure: message, missing }));
        if (permanent) return;
        failures.current += 1;
        const delay = Math.max(backoffDelayMs(failures.current, Math.random), retryAfterMs);
        timer = setTimeout(() => setAttempt((count) => count + 1), delay);
      },
    );
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [name, attempt, denied, live]);

  const reload = useCallback(() => setAttempt((count) => count + 1), []);
  useChange(insightsVersion, reload);
  useChange(panelsVersion, reload);
  const missing = held.name === name && held.missing;
  // The server may have read the file after its response and before it said its first version.
  useEffect(() => {
    if (missing && insightsVersion !== requestedAt.current) reload();
  }, [missing, insightsVersion, reload]);

  const replace = useCallback((board: Board) => setHeld((before) => ({ ...before, name: board.name, board })), []);
  const current = held.name === name ? held : { name };
  return { ...current, reload, replace };
}

const toCallError = (error: unknown): CallError =>
  error instanceof CallError ? error : new CallError({ reason: String(error), permanent: false });

/** Runs when a version follows another one. The first one says what has just been loaded. */
function useChange(version: string | undefined, run: () => void): void {
  const known = useRef(version);
  useEffect(() => {
    if (version === undefined || version === known.current) return;
    const isFirst = known.current === undefined;
    known.current = version;
    if (!isFirst) run();
  }, [version, run]);
}
