import { memo, useMemo } from "react";
import type { PanelInfo } from "../../live/protocol.ts";
import { PanelCard } from "../../panels/PanelCard.tsx";
import { type PanelQuery, panelQuery, queryKey, type Selection } from "../../query/query.ts";
import { useConnection, useLastFrame, useLive, useQueryState } from "../../shell/live.ts";
import { useReportIssue } from "../../shell/panelIssues.tsx";
import { useFrozen } from "../../shell/pause.tsx";
import { useNow } from "../../shell/useNow.ts";
import { CopyButton } from "../../ui/CopyButton.tsx";

interface Props {
  info: PanelInfo;
  selection: Selection;
  /** Absent if the panel is enlarged. */
  onEnlarge?: (panel: string) => void;
}

const MINUTE_MS = 60_000;

/** A panel with its data. Only this one renders when its data changes. */
export const PanelSlot = memo(function PanelSlot({ info, selection, onEnlarge }: Props) {
  const query = useMemo(() => panelQuery(info, selection), [info, selection]);
  const state = useQueryState(query);
  const lastFrame = useLastFrame(query);
  const drawn = useFrozen(lastFrame, queryKey(query), lastFrame !== null && !lastFrame.placeholder);
  const { retry } = useLive();
  const { clockOffsetMs } = useConnection().state;
  const stale = state.status === "stale";
  const now = useNow(stale) + clockOffsetMs;
  return (
    <>
      {onEnlarge && <Issue info={info} query={query} />}
      <PanelCard
        info={info}
        state={state}
        // In whole minutes, because each change renders the card.
        serverNow={stale ? Math.floor(now / MINUTE_MS) * MINUTE_MS : undefined}
        drawn={drawn ?? undefined}
        onEnlarge={onEnlarge}
        onRetry={retry}
        notFiltered={!info.filterable && Boolean(selection.filters?.length)}
        notCompared={!info.comparable && Boolean(selection.compare)}
        sqlActions={<CopyButton text={info.sql} />}
        className={onEnlarge ? "h-full" : "enlarged min-h-0 flex-1"}
      />
    </>
  );
});

function Issue({ info, query }: { info: PanelInfo; query: PanelQuery }) {
  useReportIssue(info.name, info.title, useQueryState(query));
  return null;
}
