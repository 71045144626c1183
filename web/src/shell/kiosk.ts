import { useCallback, useEffect, useRef } from "react";

const IDLE_MS = 3_000;

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
    const stops = [leaveWithFullScreen(() => latest.current(false)), hideIdleCursor(root), keepAwake()];
    return () => {
      for (const stop of stops) stop();
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
    // Refused by policy or by the user: the mode then fills the window.
    document.documentElement.requestFullscreen?.().catch(() => {});
  }, [wall]);
}

/** Escape leaves the browser's full screen without a key event. Inside a window it is an ordinary key. */
function leaveWithFullScreen(leave: () => void): () => void {
  const onChange = () => {
    if (!document.fullscreenElement) leave();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("[role=dialog], [role=menu]"))
      leave();
  };
  document.addEventListener("fullscreenchange", onChange);
  window.addEventListener("keydown", onKeyDown);
  return () => {
    document.removeEventListener("fullscreenchange", onChange);
    window.removeEventListener("keydown", onKeyDown);
  };
}

function hideIdleCursor(root: HTMLElement): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const wake = () => {
    delete root.dataset.idle;
    clearTimeout(timer);
    timer = setTimeout(() => {
      root.dataset.idle = "";
    }, IDLE_MS);
  };
  wake();
  window.addEventListener("pointermove", wake);
  window.addEventListener("keydown", wake);
  return () => {
    clearTimeout(timer);
    delete root.dataset.idle;
    window.removeEventListener("pointermove", wake);
    window.removeEventListener("keydown", wake);
  };
}

/** Browsers release the lock of a hidden page, and offer it only on HTTPS and localhost. */
function keepAwake(): () => void {
  let lock: WakeLockSentinel | undefined;
  let stopped = false;
  const request = async () => {
    if (document.visibilityState !== "visible") return;
    try {
      const granted = await navigator.wakeLock?.request("screen");
      if (stopped) await granted?.release();
      else lock = granted;
    } catch {
      // Refused, for example on low battery: the screen follows the system's setting.
    }
  };
  void request();
  document.addEventListener("visibilitychange", request);
  return () => {
    stopped = true;
    document.removeEventListener("visibilitychange", request);
    void lock?.release();
  };
}
