import type { ComponentProps, ReactNode } from "react";
import { lazyPart } from "../lazyPart.ts";
import { OptionalPart } from "./ErrorBoundary.tsx";
import { useLazyPopup } from "./useLazyPopup.ts";

export interface PopoverProps extends Omit<ComponentProps<"button">, "content" | "children"> {
  /** Accessible name of the popup. */
  label: string;
  /** Content of the button. */
  children: ReactNode;
  /** Rendered while the popup is open. */
  content: (close: () => void) => ReactNode;
  align?: "start" | "center" | "end";
}

const PopoverPopup = lazyPart(() => import("./PopoverPopup.tsx"), "idle");

/** A button that shows details beside it. */
export function Popover({ label, children, content, align = "start", className = "", ...props }: PopoverProps) {
  const { open, setOpen, onOpenChange, trigger, triggerProps } = useLazyPopup(PopoverPopup.preload, "dialog");
  return (
    <>
      <button type="button" className={className} {...props} {...triggerProps}>
        {children}
      </button>
      {open && (
        <OptionalPart onClose={() => setOpen(false)}>
          <PopoverPopup label={label} anchor={trigger} align={align} onOpenChange={onOpenChange}>
            {content(() => setOpen(false))}
          </PopoverPopup>
        </OptionalPart>
      )}
    </>
  );
}
