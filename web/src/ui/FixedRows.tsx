// A long list whose rows all have one height: only those that can be seen are in the document. Costs nothing per row that is
// not seen, so that a list of 100,000 rows can change several times a second.

import "./fixedRows.css";
import {
  type FocusEvent,
  type KeyboardEvent,
  type ReactNode,
  type Ref,
  useCallback,
  useEffect,
  useRef,
  useState,
} from "react";
import { flushSync } from "react-dom";

export interface FixedRowsProps {
  /** Accessible name. */
  label: string;
  count: number;
  /** In pixels. */
  rowHeight: number;
  rowKey: (index: number) => string | number;
  children: (index: number) => ReactNode;
  /** The scrolled element. */
  scroller?: Ref<HTMLElement>;
  /** Called when the last rows come into sight. */
  onEnd?: () => void;
  onScrolled?: (top: number) => void;
  /** Called when the keyboard's focus moves to a row, and when it leaves it. */
  onFocusRow?: (focused: boolean) => void;
  /** After the last row. */
  footer?: ReactNode;
  className?: string;
}

/** Rows that are drawn beyond the edges, so that the next ones are there before a slow scroll reaches them. */
const OVERSCAN = 6;
/** The window moves in steps, so that a scroll by a few rows renders nothing. */
const STEP = 4;
const NEAR_END = 20;

interface Seen {
  first: number;
  height: number;
}

export function FixedRows(props: FixedRowsProps) {
  const {
    label,
    count,
    rowHeight,
    rowKey,
    children,
    scroller,
    onEnd,
    onScrolled,
    onFocusRow,
    footer,
    className = "",
  } = props;
  const element = useRef<HTMLElement | null>(null);
  // Until the element is measured, as much as a screen shows.
  const [seen, setSeen] = useState<Seen>({ first: 0, height: 1_000 });

  const measure = useCallback(() => {
    const { scrollTop = 0, clientHeight = 0 } = element.current ?? {};
    const first = Math.floor(scrollTop / rowHeight / STEP) * STEP;
    const height = clientHeight || 1_000;
    setSeen((before) => (before.first === first && before.height === height ? before : { first, height }));
  }, [rowHeight]);

  const attach = useCallback(
    (found: HTMLElement | null) => {
      element.current = found;
      if (typeof scroller === "function") scroller(found);
      else if (scroller) scroller.current = found;
    },
    [scroller],
  );

  useEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    if (element.current) observer.observe(element.current);
    return () => observer.disconnect();
  }, [measure]);

  const visible = Math.ceil(seen.height / rowHeight) + STEP;
  const start = Math.max(0, Math.min(seen.first - OVERSCAN, count - 1));
  const end = Math.min(count, seen.first + visible + OVERSCAN);
  const isNearEnd = count > 0 && seen.first + visible + NEAR_END >= count;
  useEffect(() => {
    if (isNearEnd) onEnd?.();
  });

  return (
    <section
      ref={attach}
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
      tabIndex={0}
      className={`ui-rows ${className}`}
      onScroll={(event) => {
        // In the frame of the scroll: otherwise a fast one shows an empty list until the next frame.
        flushSync(measure);
        onScrolled?.(event.currentTarget.scrollTop);
      }}
      onFocus={onFocusRow && ((event: FocusEvent) => onFocusRow(isKeyboardFocus(event.target)))}
      onBlur={onFocusRow && (() => onFocusRow(false))}
      onKeyDown={moveFocus}
    >
      <ul className="ui-rows-space" style={{ height: count * rowHeight }}>
        {Array.from({ length: Math.max(0, end - start) }, (_, offset) => {
          const index = start + offset;
          return (
            <li
              key={rowKey(index)}
              aria-setsize={count}
              aria-posinset={index + 1}
              className="ui-row"
              style={{ height: rowHeight, transform: `translateY(${index * rowHeight}px)` }}
            >
              {children(index)}
            </li>
          );
        })}
      </ul>
      {footer}
    </section>
  );
}

/** Not that of a click, which says nothing about what is read. */
const isKeyboardFocus = (target: EventTarget): boolean =>
  target instanceof HTMLElement && target.closest("li") !== null && target.matches(":focus-visible");

/** The arrow keys move between rows, by their first controls. */
function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (step === 0 || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const controls = [...event.currentTarget.querySelectorAll<HTMLElement>("[data-row-control]")].sort(
    (a, b) => position(a) - position(b),
  );
  const at = controls.indexOf(document.activeElement as HTMLElement);
  const box = event.currentTarget.getBoundingClientRect();
  const inSight = () => controls.findIndex((control) => control.getBoundingClientRect().bottom > box.top + 4);
  const next = controls[at < 0 ? inSight() : at + step];
  if (!next) return;
  event.preventDefault();
  next.focus({ preventScroll: true });
  next.closest("li")?.scrollIntoView({ block: "nearest" });
}

const position = (control: HTMLElement): number => Number(control.closest("li")?.getAttribute("aria-posinset") ?? 0);
