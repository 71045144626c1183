import { useCallback, useEffect, useReducer, useRef } from "react";
import { useClient } from "../api/client.tsx";
import type { QueryParams } from "../api/queryParams.ts";
import { initialState, type LiveState, liveReducer } from "./state.ts";
import { type PanelSubscription, subscribeToPanels } from "./subscription.ts";

const TICK_MS = 1_000;

export interface LivePanels {
  state: LiveState;
  retry: () => void;
}

/** Subscribes to all panels. New parameters replace the stream; the old values stay until the new ones arrive. */
export function useLivePanels({ range, zone }: QueryParams): LivePanels {
  const client = useClient();
  const [state, dispatch] = useReducer(liveReducer, undefined, () => initialState(Date.now()));
  const subscription = useRef<PanelSubscription>(null);

  useEffect(() => {
    const current = subscribeToPanels(client, { range, zone }, dispatch);
    subscription.current = current;
    return current.stop;
  }, [client, range, zone]);

  useEffect(() => {
    const timer = setInterval(() => dispatch({ type: "tick", at: Date.now() }), TICK_MS);
    return () => clearInterval(timer);
  }, []);

  const retry = useCallback(() => subscription.current?.retry(), []);
  return { state, retry };
}
