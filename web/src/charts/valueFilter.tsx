// Values of a dimension as buttons that filter the page by them.

import { createContext, type ReactNode, use } from "react";
import { type DimensionValue, REST_VALUE } from "../frame/columns.ts";

/** Adds a filter. Undefined if the page cannot be filtered by the dimension. */
export type AddFilter = (dimension: string) => ((value: string) => void) | undefined;

export const ValueFilterContext = createContext<AddFilter>(() => undefined);

/** What a click on the value does. Undefined for a value that no filter can have. */
export function useValueFilter(): (value: DimensionValue | undefined) => (() => void) | undefined {
  const addFilter = use(ValueFilterContext);
  return (value) => {
    const { dimension, cell } = value ?? { dimension: "", cell: null };
    if (typeof cell !== "string" || cell === "" || cell === REST_VALUE) return undefined;
    const add = addFilter(dimension);
    return add && (() => add(cell));
  };
}

interface Props {
  /** The value in words. */
  label: string;
  onClick: (() => void) | undefined;
  className?: string;
  children: ReactNode;
}

/** A button if there is something to click, else only its content. */
export function ValueButton({ label, onClick, className = "", children }: Props) {
  if (!onClick) return <span className={`min-w-0 ${className}`}>{children}</span>;
  return (
    <button
      type="button"
      className={`min-w-0 max-w-full text-left underline-offset-2 hover:underline ${className}`}
      aria-label={`${label}: filter by it`}
      title={`Filter by ${label}`}
      onClick={onClick}
    >
      {children}
    </button>
  );
}
