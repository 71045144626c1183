// A popup whose code is loaded when it is likely to be needed. Its trigger is a plain button, so that the first load of
// the page does not contain the popup library.

import { type KeyboardEvent, useCallback, useRef, useState } from "react";

/** Why the popup library wants to close a popup. A part of its event details. */
export interface CloseDetails {
  reason: string;
  event: Event;
  cancel: () => void;
}

export function useLazyPopup(preload: () => void, haspopup: "menu" | "listbox" | "dialog", opened = false) {
  const trigger = useRef<HTMLButtonElement>(null);
  const [open, setOpen] = useState(opened);
  const onOpenChange = useCallback((next: boolean, details: CloseDetails) => {
    // A press on the trigger is "outside" for the library: it would close the popup, and the click would open it again.
    if (!next && trigger.current?.contains(details.event.target as Node) && details.reason === "outside-press") {
      details.cancel();
      return;
    }
    setOpen(next);
  }, []);

  const triggerProps = {
    ref: trigger,
    "aria-haspopup": haspopup,
    "aria-expanded": open,
    onPointerEnter: preload,
    onFocus: preload,
    onClick: () => setOpen((shown) => !shown),
    onKeyDown: (event: KeyboardEvent) => {
      if (haspopup !== "dialog" && (event.key === "ArrowDown" || event.key === "ArrowUp") && !open) {
        event.preventDefault();
        setOpen(true);
      }
    },
  } as const;
  return { open, setOpen, onOpenChange, trigger, triggerProps };
}
