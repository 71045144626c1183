// The key of the command palette. It has a modifier: it works in text fields, and is not a shortcut of one letter.

const isMac = typeof navigator !== "undefined" && /Mac|iPhone|iPad/.test(navigator.userAgent);

/** As it is written beside the command. */
export const PALETTE_KEYS = isMac ? "⌘ K" : "Ctrl K";

export const isPaletteKey = (event: KeyboardEvent): boolean =>
  event.key.toLowerCase() === "k" &&
  (isMac ? event.metaKey : event.ctrlKey) &&
  !event.altKey &&
  !event.shiftKey &&
  !event.repeat;
