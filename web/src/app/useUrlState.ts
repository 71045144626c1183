import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";
import { formatUrlState, parseUrlState, type UrlState } from "./urlState.ts";

const CHANGE_EVENT = "millrace:url-state";

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener(CHANGE_EVENT, listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener(CHANGE_EVENT, listener);
  };
}

/** The URL is the only copy of this state. Each change adds a history entry, so the Back button undoes it. */
export function useUrlState(): [UrlState, (change: Partial<UrlState>) => void] {
  const search = useSyncExternalStore(subscribe, () => window.location.search);
  const urlState = useMemo(() => parseUrlState(search), [search]);

  // Writes the defaults to the URL, so that it can be shared at any time.
  useEffect(() => {
    const normalized = formatUrlState(parseUrlState(window.location.search));
    if (normalized !== window.location.search) window.history.replaceState(null, "", normalized);
  }, []);

  const update = useCallback((change: Partial<UrlState>) => {
    const next = formatUrlState({ ...parseUrlState(window.location.search), ...change });
    if (next === window.location.search) return;
    window.history.pushState(null, "", next);
    window.dispatchEvent(new Event(CHANGE_EVENT));
  }, []);

  return [urlState, update];
}
