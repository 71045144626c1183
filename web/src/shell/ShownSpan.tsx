// The exact span of what is shown, from the result itself and not from the selected range.

import type { Frame } from "../frame/frame.ts";
import { comparedSpanWords, spanWords, zoneWords } from "../frame/words.ts";
import { formatInstant } from "../lib/time.ts";
import { type Query, queryKey } from "../query/query.ts";
import { strings } from "../strings.ts";
import { useLastFrame } from "./live.ts";
import { useReportSpan } from "./Page.tsx";
import { useFrozen } from "./pause.tsx";
import { useView } from "./view.ts";

/** Of a panel that covers the whole range. */
export function SpanOfPanel({ query }: { query: Query }) {
  const last = useLastFrame(query);
  const shown = useFrozen(last, queryKey(query), last !== null && !last.placeholder, false);
  if (!shown || shown.placeholder || shown.frame.context.span) return <p className="view-span" />;
  return <SpanOfFrame frame={shown.frame} />;
}

export function SpanOfFrame({ frame }: { frame: Pick<Frame, "context" | "comparison"> }) {
  const { context, comparison } = frame;
  const { requestedStart, start, end, zone, computedAt } = context;
  useReportSpan(start, end);
  // An interval is in the button beside it.
  const isNamed = typeof useView()[0].range === "string";
  return (
    <p className="view-span" data-shown-span="" title={zoneWords(context)}>
      <span className={isNamed ? "text-ink" : "sr-only"}>{spanWords(context)}</span>
      {comparison && ` ${strings.comparedWith} ${comparedSpanWords(frame as Frame)}`}
      {requestedStart !== undefined && (
        <span className="text-warn"> {strings.notStoredBefore(formatInstant(start, zone, computedAt))}</span>
      )}
    </p>
  );
}
