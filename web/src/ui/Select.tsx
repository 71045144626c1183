import type { ReactNode } from "react";
import { lazyPart } from "../lazyPart.ts";
import { OptionalPart } from "./ErrorBoundary.tsx";
import { Icon } from "./icons.tsx";
import { useLazyPopup } from "./useLazyPopup.ts";

export interface SelectProps<T extends string> {
  label: string;
  value: T;
  options: { value: T; label: string }[];
  onChange: (value: T) => void;
  disabled?: boolean;
  /** The value in words, if it is none of the options. */
  text?: string;
  /** Content of the button instead of the value in words. */
  children?: ReactNode;
  className?: string;
}

const SelectPopup = lazyPart(() => import("./SelectPopup.tsx"), "idle");

/** One of a few values. For many, use a Combobox. */
export function Select<T extends string>(props: SelectProps<T>) {
  const { label, value, options, onChange, disabled, children, className = "" } = props;
  const { open, setOpen, onOpenChange, trigger, triggerProps } = useLazyPopup(SelectPopup.preload, "listbox");
  const text = props.text ?? options.find((option) => option.value === value)?.label ?? value;
  return (
    <>
      <button
        type="button"
        aria-label={`${label}: ${text}`}
        disabled={disabled}
        className={`ui-button ${className}`}
        {...triggerProps}
      >
        {children ?? text}
        <Icon name="chevronDown" className="text-muted" />
      </button>
      {open && (
        <OptionalPart onClose={() => setOpen(false)}>
          <SelectPopup
            label={label}
            value={value}
            options={options}
            anchor={trigger}
            onOpenChange={onOpenChange}
            onChange={(next) => {
              onChange(next as T);
              setOpen(false);
            }}
          />
        </OptionalPart>
      )}
    </>
  );
}
