import { useEffect } from "react";

/** What each key does, for the page and for its help. */
export interface KeyboardShortcut {
  key: string;
  meaning: string;
  run: () => void;
}

/** Single keys, which must not take anything away from typing or from the browser's own combinations. */
export function useKeyboardShortcuts(actions: KeyboardShortcut[]): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as HTMLElement | null;
      if (target?.closest?.("input, textarea, select, [contenteditable], [role=menu]")) return;
      const action = actions.find(({ key }) => key === event.key || key === event.key.toLowerCase());
      if (!action) return;
      event.preventDefault();
      action.run();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [actions]);
}
