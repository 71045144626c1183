import type { ReactNode } from "react";
import type { CallState } from "../../live/useCall.ts";
import { Button } from "../../ui/Button.tsx";
import { Skeleton } from "../../ui/placeholders.tsx";
import { strings } from "./strings.ts";

/** A card over the whole width. */
export const Section = ({
  id,
  title,
  hint,
  actions,
  children,
}: {
  id?: string;
  title: string;
  hint?: string;
  actions?: ReactNode;
  children: ReactNode;
}) => (
  <section id={id} aria-label={title} className="card scroll-mt-16 gap-3">
    <header className="flex flex-wrap items-center gap-x-4 gap-y-2">
      <div className="min-w-0 flex-1">
        <h2 className="text-sm font-medium">{title}</h2>
        {hint && <p className="text-xs text-muted">{hint}</p>}
      </div>
      {actions}
    </header>
    {children}
  </section>
);

/** A table may be wider than the card. */
export function Scrolled({ label, tall, children }: { label: string; tall?: boolean; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
    <section aria-label={label} tabIndex={0} className={`${SCROLLED} ${tall ? "max-h-[32rem]" : ""}`}>
      {children}
    </section>
  );
}
const SCROLLED = "relative overflow-auto [scrollbar-width:thin]";

interface LoadedProps<Response> {
  state: CallState<Response>;
  /** What has failed, in words. */
  failed: string;
  children: (response: Response) => ReactNode;
}

/** The response of a call, or what there is instead. */
export function Loaded<Response>({ state, failed, children }: LoadedProps<Response>) {
  const { data, failure, refetch } = state;
  if (failure && data === undefined) {
    return (
      <div className="flex flex-col items-start gap-2">
        <p className="font-medium">{failed}</p>
        <p className="text-xs break-words text-muted">{failure.reason}.</p>
        <Button onClick={() => void refetch()}>{strings.retry}</Button>
      </div>
    );
  }
  if (data === undefined) {
    return (
      <div role="status" aria-label={strings.loading} className="flex flex-col gap-2">
        <Skeleton className="h-6" />
        <Skeleton className="h-6" />
        <Skeleton className="h-6" />
      </div>
    );
  }
  return children(data);
}

export const CELL = "px-2.5 py-1.5 text-left align-top";

/** The head of a table's column. */
export const ColumnHead = ({ className = "", children }: { className?: string; children: ReactNode }) => (
  <th scope="col" className={`px-2.5 py-1.5 text-left text-xs font-medium text-muted ${className}`}>
    {children}
  </th>
);
