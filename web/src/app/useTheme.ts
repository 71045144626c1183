import { useCallback, useEffect, useSyncExternalStore } from "react";

export type Theme = "dark" | "light";

const KEY = "millrace.theme";
const CHANGED = "millrace:theme";
const LIGHT = "(prefers-color-scheme: light)";

function chosen(): Theme | null {
  // A browser may refuse its storage; the theme is then remembered for as long as the page is open.
  try {
    const theme = localStorage.getItem(KEY);
    return theme === "dark" || theme === "light" ? theme : null;
  } catch {
    return null;
  }
}

function current(): Theme {
  const shown = document.documentElement.dataset.theme;
  if (shown === "dark" || shown === "light") return shown;
  return chosen() ?? (window.matchMedia(LIGHT).matches ? "light" : "dark");
}

/** Before the first drawing, so that no visitor sees the other theme for an instant. */
export function applyStoredTheme(): void {
  const theme = chosen();
  if (theme) document.documentElement.dataset.theme = theme;
}

function subscribe(listener: () => void): () => void {
  const preference = window.matchMedia(LIGHT);
  preference.addEventListener("change", listener);
  window.addEventListener(CHANGED, listener);
  return () => {
    preference.removeEventListener("change", listener);
    window.removeEventListener(CHANGED, listener);
  };
}

/** The visitor's choice, else the browser's preference. */
export function useTheme(): [Theme, () => void] {
  const theme = useSyncExternalStore(subscribe, current);
  useEffect(applyStoredTheme, []);
  const toggle = useCallback(() => {
    const next: Theme = current() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Not remembered, then.
    }
    window.dispatchEvent(new Event(CHANGED));
  }, []);
  return [theme, toggle];
}
