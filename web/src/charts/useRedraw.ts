// When charts redraw: at most once a second, and only while they can be seen or are printed.

import { type RefObject, useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";

const MIN_INTERVAL_MS = 1000;

/** Whether the element is on the screen and the tab is visible. */
export function useOnScreen(ref: RefObject<HTMLElement | null>): boolean {
  const [inView, setInView] = useState(true);
  const [tabVisible, setTabVisible] = useState(!document.hidden);
  useEffect(() => {
    const changed = () => setTabVisible(!document.hidden);
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, []);
  useEffect(() => {
    if (!ref.current || typeof IntersectionObserver === "undefined") return;
    const observer = new IntersectionObserver((entries) => setInView(entries.at(-1)?.isIntersecting ?? true), {
      rootMargin: "100px",
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [ref]);
  return inView && tabVisible;
}

/** Whether the page is being printed: with all panels, so that charts off the screen have to be as new as their figures. */
export function usePrinting(): boolean {
  const [printing, setPrinting] = useState(false);
  useEffect(() => {
    // The browser takes the picture right after the event.
    const before = () => flushSync(() => setPrinting(true));
    const after = () => setPrinting(false);
    window.addEventListener("beforeprint", before);
    window.addEventListener("afterprint", after);
    return () => {
      window.removeEventListener("beforeprint", before);
      window.removeEventListener("afterprint", after);
    };
  }, []);
  return printing;
}

/** The latest value, at most once a second while `visible`. A value with another key is returned at once. */
export function useThrottled<T>(value: T, key: string, visible: boolean): T {
  const [shown, setShown] = useState({ value, key });
  const shownAt = useRef(Number.NEGATIVE_INFINITY);
  useEffect(() => {
    if (!visible || (shown.value === value && shown.key === key)) return;
    const show = () => {
      shownAt.current = performance.now();
      setShown({ value, key });
    };
    const wait = key === shown.key ? shownAt.current + MIN_INTERVAL_MS - performance.now() : 0;
    if (wait <= 0) return show();
    const timer = setTimeout(show, wait);
    return () => clearTimeout(timer);
  }, [value, key, visible, shown]);
  return key === shown.key ? shown.value : value;
}
