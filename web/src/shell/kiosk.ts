import { useCallback, useEffect, useRef } from "react";
import type { View } from "./view.ts";

/** What leaving a wall gives back of the view that the page had before. Unknown after a reload. */
export type BeforeWall = () => Partial<View>;

/**
 * Kiosk mode: the panels in full screen with large type and nothing else. The address holds the mode. Browsers allow full
 * screen only after a key press or a click, so a link opens the mode inside the window.
 */
export function useKiosk(wall: boolean, setWall: (wall: boolean) => void): () => void {
  const latest = useRef(setWall);
  useEffect(() => {
    latest.current = setWall;
  });

  useEffect(() => {
    const root = document.documentElement;
    if (!wall) {
      delete root.dataset.wall;
      return;
    }
    root.dataset.wall = "";
    return () => {
      delete root.dataset.wall;
      // Also after the Back button.
      if (document.fullscreenElement) void document.exitFullscreen().catch(() => {});
    };
  }, [wall]);

  return useCallback(() => {
    if (wall) {
      latest.current(false);
      return;
    }
    latest.current(true);
    requestFullScreen();
  }, [wall]);
}

/** In a click or a key press. Refused by policy or by the user: the mode then fills the window. */
export const requestFullScreen = (): void => {
  document.documentElement.requestFullscreen?.().catch(() => {});
};
