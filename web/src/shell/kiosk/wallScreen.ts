// The screen of a wall: nobody moves the pointer, and it must not go dark.

import { useEffect, useRef } from "react";

const IDLE_MS = 3_000;

/** `leave` is called when the reader leaves full screen. */
export function useWallScreen(leave: () => void): void {
  const latest = useRef(leave);
  useEffect(() => {
    latest.current = leave;
  });
  useEffect(() => {
    const stops = [leaveWithFullScreen(() => latest.current()), hideIdleCursor(document.documentElement), keepAwake()];
    return () => {
      for (const stop of stops) stop();
    };
  }, []);
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
