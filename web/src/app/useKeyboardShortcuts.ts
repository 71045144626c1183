import { useEffect } from "react";

export interface KeyboardShortcut {
  key: string;
  /** Shown in the help dialog. */
  description: string;
  run: () => void;
}

/** Single-key shortcuts. They ignore key combinations and keys typed into form fields or menus. */
export function useKeyboardShortcuts(shortcuts: KeyboardShortcut[]): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as HTMLElement | null;
      if (target?.closest?.("input, textarea, select, [contenteditable], [role=menu]")) return;
      const shortcut = shortcuts.find(({ key }) => key === event.key || key === event.key.toLowerCase());
      if (!shortcut) return;
      event.preventDefault();
      shortcut.run();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [shortcuts]);
}
