import { useCallback, useEffect } from "react";

/**
 * The wall: the four main panels on the whole screen, in large type. The address keeps it; the browser's full screen
 * goes with it where it is allowed, which is only after a key or a click, so a link opens the wall in its window.
 */
export function useWallMode(wall: boolean, setWall: (wall: boolean) => void): () => void {
  useEffect(() => {
    const root = document.documentElement;
    if (wall) root.dataset.wall = "";
    else delete root.dataset.wall;
  }, [wall]);

  useEffect(() => {
    const onChange = () => {
      if (!document.fullscreenElement) setWall(false);
    };
    document.addEventListener("fullscreenchange", onChange);
    return () => document.removeEventListener("fullscreenchange", onChange);
  }, [setWall]);

  // The browser leaves its full screen by itself; a wall in a window is left here, unless a dialog is what is closed.
  useEffect(() => {
    if (!wall) return;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open]")) setWall(false);
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [wall, setWall]);

  return useCallback(() => {
    if (wall) {
      setWall(false);
      if (document.fullscreenElement) void document.exitFullscreen();
      return;
    }
    setWall(true);
    document.documentElement.requestFullscreen?.().catch(() => {});
  }, [wall, setWall]);
}
