import type { ReactNode } from "react";
import { lazyPart } from "../lazyPart.ts";
import { OptionalPart } from "./ErrorBoundary.tsx";
import { Icon } from "./icons.tsx";
import { useLazyPopup } from "./useLazyPopup.ts";

export interface Option {
  value: string;
  label: string;
  /** Shown after the label, and searched as well. */
  detail?: string;
}

export interface ComboboxProps {
  /** Accessible name of the search field, and the beginning of the button's. */
  label: string;
  /** Content of the button: the value. */
  children: ReactNode;
  value: string;
  /** Computed when the list opens. */
  options: () => Option[];
  onChange: (value: string) => void;
  placeholder: string;
  empty: string;
  disabled?: boolean;
  /** Open from the beginning: something was added whose value comes next. */
  opened?: boolean;
  className?: string;
}

const ComboboxPopup = lazyPart(() => import("./ComboboxPopup.tsx"), "idle");

/** A button that opens a searchable list. */
export function Combobox({ label, children, className = "", disabled, opened, ...list }: ComboboxProps) {
  const { open, setOpen, onOpenChange, trigger, triggerProps } = useLazyPopup(ComboboxPopup.preload, "listbox", opened);
  return (
    <>
      <button type="button" disabled={disabled} className={`ui-button ui-button-quiet ${className}`} {...triggerProps}>
        <span className="sr-only">{label}: </span>
        {children}
        <Icon name="chevronDown" className="text-muted max-sm:hidden" />
      </button>
      {open && (
        <OptionalPart onClose={() => setOpen(false)}>
          <ComboboxPopup
            {...list}
            label={label}
            anchor={trigger}
            onOpenChange={onOpenChange}
            onDone={() => setOpen(false)}
          />
        </OptionalPart>
      )}
    </>
  );
}
