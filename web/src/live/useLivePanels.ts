import { useCallback, useEffect, useReducer, useRef } from "react";
import { useClient } from "../api/client.tsx";
import type { QueryParams } from "../api/queryParams.ts";
import { initialState, type LiveState, liveReducer } from "./state.ts";
import { type PanelSubscription, subscribeToPanels } from "./subscription.ts";

const TICK_MS = 1_000;

export interface Live {
  state: LiveState;
  retry: () => void;
}

/** Keeps all panels live for one question; another question replaces the stream and keeps the old values meanwhile. */
export function useLivePanels({ range, zone }: QueryParams): Live {
  const client = useClient();
  const [state, tell] = useReducer(liveReducer, undefined, () => initialState(Date.now()));
  const session = useRef<PanelSubscription>(null);

  useEffect(() => {
    const started = subscribeToPanels(client, { range, zone }, tell);
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
