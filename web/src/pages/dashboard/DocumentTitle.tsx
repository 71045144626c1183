import { useEffect } from "react";
import { figureText } from "../../frame/cellText.ts";
import type { Frame } from "../../frame/frame.ts";
import { isInlineUnit } from "../../lib/format.ts";
import type { QueryStatus } from "../../live/protocol.ts";
import { type Query, queryKey } from "../../query/query.ts";
import { useLastFrame, useQueryState } from "../../shell/live.ts";
import { useFrozen } from "../../shell/pause.tsx";
import { strings } from "../../strings.ts";

export function titleOf(frame: Frame | undefined, status: QueryStatus): string {
  const figure = frame?.figures[0];
  if (!frame || !figure || figure.value === null || figure.isTime) return strings.product;
  const { unit, label } = figure;
  const name = label.toLowerCase() || (isInlineUnit(unit) ? "" : unit);
  const text = `${figureText(figure, frame)} ${name}`.trim();
  return `${status === "live" ? "" : strings.staleTitle}${text} · ${strings.product}`;
}

/** The tab's title shows the lead figure of a panel, as its card does. */
export function DocumentTitle({ query }: { query: Query }) {
  const { status } = useQueryState(query);
  const last = useLastFrame(query);
  const shown = useFrozen(last, queryKey(query), last !== null && !last.placeholder, false);
  const title = titleOf(shown?.frame, status);
  useEffect(() => {
    document.title = title;
  }, [title]);
  return null;
}
