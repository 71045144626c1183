import { useCallback, useEffect } from "react";

/**
 * Wall mode: the four main panels in full screen with large type. The URL holds the mode. Browsers allow full screen only
 * after a key press or a click, so a link opens wall mode inside the window.
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

  // Escape leaves the browser's full screen. Inside a window it leaves wall mode, unless it closes a dialog.
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
