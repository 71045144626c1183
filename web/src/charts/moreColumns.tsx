// Whether a table that scrolls has columns to the right of what is seen, and the mark that says so.

import { type RefObject, useCallback, useEffect, useState } from "react";

export function useMoreColumns(scroller: RefObject<HTMLElement | null>) {
  const [more, setMore] = useState(false);
  const measure = useCallback(() => {
    const element = scroller.current;
    if (element) setMore(element.scrollWidth - element.clientWidth - element.scrollLeft > 4);
  }, [scroller]);
  useEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    const element = scroller.current;
    if (element) {
      observer.observe(element);
      if (element.firstElementChild) observer.observe(element.firstElementChild);
    }
    return () => observer.disconnect();
  }, [measure, scroller]);
  return { more, measure };
}

/** Over the right edge of the positioned parent. */
export const MoreColumns = () => (
  <div
    aria-hidden="true"
    data-more=""
    className="pointer-events-none absolute inset-y-0 right-0 flex w-12 items-center justify-end bg-linear-to-r from-transparent to-card pr-1 text-muted"
  >
    ›
  </div>
);
