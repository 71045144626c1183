// Placeholders of a panel without data.

export function LoadingPlaceholder({ title }: { title: string }) {
  return (
    <div role="status" className="flex flex-1 flex-col gap-4" aria-label={`${title} is loading`}>
      <div className="skeleton h-12 w-1/3" />
      <div className="skeleton min-h-24 flex-1" />
    </div>
  );
}

export function EmptyPlaceholder({ hint }: { hint: string }) {
  return (
    <div className="flex flex-1 flex-col items-center justify-center gap-1 py-6 text-center text-sm">
      <p className="font-medium">No data in this range</p>
      <p className="max-w-80 text-muted">{hint}</p>
    </div>
  );
}

/** Not a live region: the header announces the fault once for all panels. */
export function ErrorPlaceholder({ reason, onRetry }: { reason: string; onRetry: () => void }) {
  return (
    <div
      data-state="failed"
      className="flex flex-1 flex-col items-center justify-center gap-3 py-6 text-center text-sm"
    >
      <p className="font-medium text-danger">No data</p>
      <p className="max-w-80 break-words text-muted">{reason}</p>
      <button type="button" className="button" onClick={onRetry}>
        Try again
      </button>
    </div>
  );
}
