import { type ComponentProps, lazy, type ReactNode, Suspense } from "react";
import { useLazyPopup } from "./useLazyPopup.ts";

export interface PopoverProps extends Omit<ComponentProps<"button">, "content" | "children"> {
  /** Accessible name of the popup. */
  label: string;
  /** Content of the button. */
  children: ReactNode;
  /** Rendered while the popup is open. */
  content: () => ReactNode;
  align?: "start" | "center" | "end";
}

const load = () => import("./PopoverPopup.tsx");
const PopoverPopup = lazy(load);

/** A button that shows details beside it. */
export function Popover({ label, children, content, align = "start", className = "", ...props }: PopoverProps) {
  const { open, onOpenChange, trigger, triggerProps } = useLazyPopup(load, "dialog");
  return (
    <>
      <button type="button" className={className} {...props} {...triggerProps}>
        {children}
      </button>
      {open && (
        <Suspense>
          <PopoverPopup label={label} anchor={trigger} align={align} onOpenChange={onOpenChange}>
            {content()}
          </PopoverPopup>
        </Suspense>
      )}
    </>
  );
}
