import { type ReactNode, useEffect, useRef, useState } from "react";
import { lazyPart } from "../lazyPart.ts";
import { OptionalPart } from "./ErrorBoundary.tsx";

const TooltipPopup = lazyPart(() => import("./TooltipPopup.tsx"), "idle");
const DELAY_MS = 500;

/** Shows a text beside a control on hover and on keyboard focus. The control needs its own accessible name. */
export function Tooltip({ text, children }: { text: string; children: ReactNode }) {
  const anchor = useRef<HTMLSpanElement>(null);
  const [open, setOpen] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const show = (delay: number) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setOpen(true), delay);
  };
  const hide = () => {
    clearTimeout(timer.current);
    setOpen(false);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the control is the child; these events only show its name
    <span
      ref={anchor}
      className="inline-flex flex-none"
      onPointerEnter={(event) => event.pointerType === "mouse" && show(DELAY_MS)}
      onPointerLeave={hide}
      onPointerDown={hide}
      onFocus={(event) => event.target.matches(":focus-visible") && show(DELAY_MS)}
      onBlur={hide}
      onKeyDown={hide}
    >
      {children}
      {open && (
        <OptionalPart>
          <TooltipPopup text={text} anchor={anchor} onClose={hide} />
        </OptionalPart>
      )}
    </span>
  );
}
