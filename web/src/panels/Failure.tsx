import { splitReason } from "./cardState.ts";

/** Why a card has nothing to show: in words for everyone, with the details for those who can fix it. */
export function Failure({ reason, onRetry }: { reason: string; onRetry?: () => void }) {
  const { summary, details } = splitReason(reason);
  return (
    <div data-failure="" className="flex min-h-0 flex-1 flex-col items-start gap-2 overflow-y-auto text-sm">
      <p className="text-ink">{summary}</p>
      {details && (
        <details className="w-full min-w-0 text-xs text-muted">
          <summary className="cursor-pointer py-1">Details</summary>
          <pre className="max-h-40 overflow-auto rounded-lg bg-sunken p-2 whitespace-pre-wrap break-words">
            {details}
          </pre>
        </details>
      )}
      {onRetry && (
        <button type="button" className="button" onClick={onRetry}>
          Retry
        </button>
      )}
    </div>
  );
}
