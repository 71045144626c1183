import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";
import { formatUrlState, parseUrlState, type UrlState } from "./urlState.ts";

const CHANGED = "millrace:address";

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener(CHANGED, listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener(CHANGED, listener);
  };
}

/** The address is the only place where the view is kept; each change is a step that the browser can go back. */
export function useUrlState(): [UrlState, (change: Partial<UrlState>) => void] {
  const search = useSyncExternalStore(subscribe, () => window.location.search);
  const view = useMemo(() => parseUrlState(search), [search]);

  // The address names everything from the start, so that it can be passed on at any time.
  useEffect(() => {
    const whole = formatUrlState(parseUrlState(window.location.search));
    if (whole !== window.location.search) window.history.replaceState(null, "", whole);
  }, []);

  const change = useCallback((changed: Partial<UrlState>) => {
    const next = formatUrlState({ ...parseUrlState(window.location.search), ...changed });
    if (next === window.location.search) return;
    window.history.pushState(null, "", next);
    window.dispatchEvent(new Event(CHANGED));
  }, []);

  return [view, change];
}
