import { useCallback, useEffect, useSyncExternalStore } from "react";
import { readSetting, subscribeSettings, writeSetting } from "./storage.ts";

export type Theme = "dark" | "light";

const PREFERS_LIGHT = "(prefers-color-scheme: light)";

function activeTheme(): Theme {
  const stored = readSetting("theme");
  if (stored === "dark" || stored === "light") return stored;
  return window.matchMedia(PREFERS_LIGHT).matches ? "light" : "dark";
}

function subscribe(listener: () => void): () => void {
  const preference = window.matchMedia(PREFERS_LIGHT);
  preference.addEventListener("change", listener);
  const stop = subscribeSettings(listener);
  return () => {
    preference.removeEventListener("change", listener);
    stop();
  };
}

/** The chosen theme, else the browser's preference. `public/theme.js` applies it before the first paint. */
export function useTheme(): [Theme, () => void] {
  const theme = useSyncExternalStore(subscribe, activeTheme);
  useEffect(() => {
    // Only a chosen theme is written to the document: without one, CSS follows the preference.
    if (readSetting("theme")) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  }, [theme]);
  const toggle = useCallback(() => writeSetting("theme", activeTheme() === "dark" ? "light" : "dark"), []);
  return [theme, toggle];
}
