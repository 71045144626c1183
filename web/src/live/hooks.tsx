import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useLayoutEffect,
  useRef,
  useSyncExternalStore,
} from "react";
import type { Frame } from "../frame/frame.ts";
import { type Query, queryKey, sameSource } from "../query/query.ts";
import type { CatalogState, QueryState } from "./protocol.ts";
import type { ConnectionInfo, LiveStore } from "./store.ts";

const StoreContext = createContext<LiveStore | null>(null);

/** The store is created and started by the caller. */
export function LiveProvider({ store, children }: { store: LiveStore; children: ReactNode }) {
  return <StoreContext value={store}>{children}</StoreContext>;
}

export function useLiveStore(): LiveStore {
  const store = useContext(StoreContext);
  if (!store) throw new Error("useLiveStore must be called inside a LiveProvider");
  return store;
}

/** Watches the query while the component is mounted. */
export function useQueryState(query: Query): QueryState {
  const store = useLiveStore();
  const key = queryKey(query);
  // biome-ignore lint/correctness/useExhaustiveDependencies: an equal query is the same one
  const subscribe = useCallback((listener: () => void) => store.subscribe(query, listener), [store, key]);
  return useSyncExternalStore(subscribe, () => store.state(query));
}

export function useConnection(): ConnectionInfo {
  const store = useLiveStore();
  const subscribe = useCallback((listener: () => void) => store.subscribeConnection(listener), [store]);
  return useSyncExternalStore(subscribe, () => store.connection());
}

export function useCatalog(): CatalogState {
  const store = useLiveStore();
  const subscribe = useCallback((listener: () => void) => store.subscribeCatalog(listener), [store]);
  return useSyncExternalStore(subscribe, () => store.catalog());
}

/** A frame with its own query, from which all words about it must come. */
export interface LastFrame {
  frame: Frame;
  query: Query;
  /** The frame belongs to an earlier query of the card: the result of the current one has not arrived. */
  placeholder: boolean;
}

/**
 * The newest frame that a card can draw: of its query, else of its previous query for the same panel, or for the same kind of
 * question. Null if none.
 */
export function useLastFrame(query: Query): LastFrame | null {
  const { frame } = useQueryState(query);
  const previous = useRef<LastFrame>(null);
  const last = newestFrame(frame, query, previous.current);
  useLayoutEffect(() => {
    previous.current = last;
  });
  return last;
}

/** The same object while nothing changes. */
function newestFrame(frame: Frame | undefined, query: Query, previous: LastFrame | null): LastFrame | null {
  if (frame && previous?.frame === frame && !previous.placeholder) return previous;
  if (frame) return { frame, query, placeholder: false };
  if (!previous || !sameSource(previous.query, query)) return null;
  return previous.placeholder ? previous : { ...previous, placeholder: true };
}
