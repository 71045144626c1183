import { type ComponentProps, type ReactNode, useId } from "react";

export interface FieldProps {
  label: string;
  hint?: string;
  error?: string;
  children: (control: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }) => ReactNode;
}

/** A label, a control, and its hint or error. */
export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const note = error ?? hint;
  return (
    <div className="ui-field">
      <label className="ui-label" htmlFor={id}>
        {label}
      </label>
      {children({
        id,
        "aria-describedby": note ? `${id}note` : undefined,
        "aria-invalid": error ? true : undefined,
      })}
      {note && (
        <p id={`${id}note`} className={error ? "ui-error" : "ui-hint"} role={error ? "alert" : undefined}>
          {note}
        </p>
      )}
    </div>
  );
}

export const Input = ({ className = "", ...props }: ComponentProps<"input">) => (
  <input className={`ui-input ${className}`} {...props} />
);
