// The contract between a page and the bar above it.
//
// A page is wrapped in <Page>. It says its name and which controls of the bar it uses; the others are not shown. The values
// of the controls are in the address and are read with `useView`, whatever the page is, so that they stay when the visitor
// moves to another page:
//
//   export default function FunnelPage() {
//     const [{ range, zone, compare, filters }, setView] = useView();
//     return (
//       <Page name="Funnels" uses={["range", "compare", "zone", "filters"]} actions={<Button>Save</Button>}>
//         …
//       </Page>
//     );
//   }
//
// `nameExtra`, `span` and `actions` are rendered inside the bar and keep the page's contexts and state. Links to other pages
// keep the view with `search={viewSearch(search)}`, and parameters of the page's own are read and written with `useParameters`
// (view.ts).

import { createContext, type ReactNode, use, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { createPortal } from "react-dom";
import { strings } from "../strings.ts";

/** The controls that a page can do without. Connection, theme, help and the like are always there. */
export type BarControl = "range" | "compare" | "zone" | "filters" | "pause" | "kiosk";

/** Where a page's own parts go. */
export type BarSlot = "nameExtra" | "span" | "actions";

export interface PageProps {
  /** The heading in the bar, and the title of the browser's tab. */
  name: string;
  /** Which controls the page uses. None if absent. */
  uses?: readonly BarControl[];
  /** The title of the browser's tab, if it is not the name. Null if the page sets it itself. */
  title?: string | null;
  /** After the name: a menu of pages of the same kind, a mark of unsaved changes. */
  nameExtra?: ReactNode;
  /** The exact span of what is shown, beside the range. From the result, not from the range: `SpanOfFrame`. */
  span?: ReactNode;
  /** Buttons, before the controls that all pages have. */
  actions?: ReactNode;
  /** Values to offer for a filter by this dimension. Any other one can be typed. */
  filterValues?: (dimension: string) => string[];
  children?: ReactNode;
}

interface Declared {
  name: string;
  uses: readonly BarControl[];
  filterValues?: (dimension: string) => string[];
}

interface Span {
  from: number;
  to: number;
}

interface Bar {
  /** The exact bounds of what is on the screen. Not a state: it is read when it is needed. */
  shown: { current: Span | undefined };
  declare: (page: Declared | undefined) => void;
  slots: Partial<Record<BarSlot, HTMLElement>>;
  setSlot: (slot: BarSlot, element: HTMLElement | null) => void;
}

const BarContext = createContext<Bar | null>(null);
const DeclaredContext = createContext<Declared | undefined>(undefined);

export function BarProvider({ children }: { children: ReactNode }) {
  const [declared, declare] = useState<Declared>();
  const [slots, setSlots] = useState<Bar["slots"]>({});
  const shown = useRef<Span>(undefined);
  const bar = useMemo(
    () => ({
      declare,
      shown,
      slots,
      setSlot: (slot: BarSlot, element: HTMLElement | null) =>
        setSlots((current) =>
          current[slot] === (element ?? undefined) ? current : { ...current, [slot]: element ?? undefined },
        ),
    }),
    [slots],
  );
  return (
    <BarContext value={bar}>
      <DeclaredContext value={declared}>{children}</DeclaredContext>
    </BarContext>
  );
}

function useBarContext(): Bar {
  const bar = use(BarContext);
  if (!bar) throw new Error("no BarProvider");
  return bar;
}

/** What the page on the screen has declared. Undefined before it is loaded. */
export const useDeclared = (): Declared | undefined => use(DeclaredContext);

/** Tells the bounds of what is shown, so that a link can be frozen to them. `SpanOfFrame` does it as well. */
export function useReportSpan(from: number, to: number): void {
  const { shown } = useBarContext();
  useEffect(() => {
    const span = { from, to };
    shown.current = span;
    return () => {
      if (shown.current === span) shown.current = undefined;
    };
  }, [shown, from, to]);
}

/** Reads the bounds of what is shown. */
export function useShownSpan(): () => Span | undefined {
  const { shown } = useBarContext();
  return () => shown.current;
}

/** A place in the bar that the page fills. */
export function Slot({ name, className = "" }: { name: BarSlot; className?: string }) {
  const { setSlot } = useBarContext();
  const [attach] = useState(() => (element: HTMLElement | null) => setSlot(name, element));
  return <div ref={attach} className={`bar-slot ${className}`} />;
}

export function Page({ name, uses = [], title, nameExtra, span, actions, filterValues, children }: PageProps) {
  const { declare, slots } = useBarContext();
  const key = uses.join(" ");
  // Before the first paint: the bar does not change after it.
  useLayoutEffect(() => {
    declare({ name, uses: key === "" ? [] : (key.split(" ") as BarControl[]), filterValues });
  }, [declare, name, key, filterValues]);
  useLayoutEffect(() => () => declare(undefined), [declare]);
  const tabTitle = title === undefined ? `${name} · ${strings.product}` : title;
  useEffect(() => {
    if (tabTitle !== null) document.title = tabTitle;
  }, [tabTitle]);
  return (
    <>
      {slots.nameExtra && nameExtra !== undefined && createPortal(nameExtra, slots.nameExtra)}
      {slots.span && span !== undefined && createPortal(span, slots.span)}
      {slots.actions && actions !== undefined && createPortal(actions, slots.actions)}
      {children}
    </>
  );
}
