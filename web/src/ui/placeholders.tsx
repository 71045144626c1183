import type { ReactNode } from "react";
import { strings } from "../strings.ts";

export const Spinner = ({ label = strings.loading }: { label?: string }) => (
  <span role="status" className="inline-flex items-center gap-2 text-muted">
    <span className="ui-spinner" aria-hidden="true" />
    <span className="sr-only">{label}</span>
  </span>
);

export const Skeleton = ({ className = "" }: { className?: string }) => (
  <div aria-hidden="true" className={`ui-skeleton ${className}`} />
);

interface EmptyStateProps {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}

export const EmptyState = ({ title, children, action }: EmptyStateProps) => (
  <div className="ui-empty">
    <h3>{title}</h3>
    {children && <div className="max-w-md">{children}</div>}
    {action}
  </div>
);
