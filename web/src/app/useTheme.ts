import { useCallback, useEffect, useSyncExternalStore } from "react";

export type Theme = "dark" | "light";

const STORAGE_KEY = "millrace.theme";
const CHANGE_EVENT = "millrace:theme";
const PREFERS_LIGHT = "(prefers-color-scheme: light)";

function storedTheme(): Theme | null {
  // Storage may be disabled. The theme then lasts until the page is closed.
  try {
    const theme = localStorage.getItem(STORAGE_KEY);
    return theme === "dark" || theme === "light" ? theme : null;
  } catch {
    return null;
  }
}

function activeTheme(): Theme {
  const applied = document.documentElement.dataset.theme;
  if (applied === "dark" || applied === "light") return applied;
  return storedTheme() ?? (window.matchMedia(PREFERS_LIGHT).matches ? "light" : "dark");
}

/** Called before the first render, so that the page does not flash in the other theme. */
export function applyStoredTheme(): void {
  const theme = storedTheme();
  if (theme) document.documentElement.dataset.theme = theme;
}

function subscribe(listener: () => void): () => void {
  const preference = window.matchMedia(PREFERS_LIGHT);
  preference.addEventListener("change", listener);
  window.addEventListener(CHANGE_EVENT, listener);
  return () => {
    preference.removeEventListener("change", listener);
    window.removeEventListener(CHANGE_EVENT, listener);
  };
}

/** The stored theme, else the browser's preference. */
export function useTheme(): [Theme, () => void] {
  const theme = useSyncExternalStore(subscribe, activeTheme);
  useEffect(applyStoredTheme, []);
  const toggle = useCallback(() => {
    const next: Theme = activeTheme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem(STORAGE_KEY, next);
    } catch {
      // Storage is disabled: see `storedTheme`.
    }
    window.dispatchEvent(new Event(CHANGE_EVENT));
  }, []);
  return [theme, toggle];
}
