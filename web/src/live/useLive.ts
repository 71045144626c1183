import { useCallback, useEffect, useReducer, useRef } from "react";
import { useClient } from "../api/client.tsx";
import type { Question } from "../api/question.ts";
import { type Session, startSession } from "./session.ts";
import { type LiveState, reduce, startState } from "./state.ts";

const TICK_MS = 1_000;

export interface Live {
  state: LiveState;
  retry: () => void;
}

/** Keeps all panels live for one question; another question replaces the stream and keeps the old values meanwhile. */
export function useLive({ range, zone }: Question): Live {
  const client = useClient();
  const [state, tell] = useReducer(reduce, undefined, () => startState(Date.now()));
  const session = useRef<Session>(null);

  useEffect(() => {
    const started = startSession(client, { range, zone }, tell);
    session.current = started;
    return started.stop;
  }, [client, range, zone]);

  useEffect(() => {
    const timer = setInterval(() => tell({ type: "tick", at: Date.now() }), TICK_MS);
    return () => clearInterval(timer);
  }, []);

  const retry = useCallback(() => session.current?.retry(), []);
  return { state, retry };
}
