import { memo, type ReactNode } from "react";
import type { PanelInfo } from "../../live/protocol.ts";
import { FigureCard } from "../../panels/FigureCard.tsx";
import { PanelCard } from "../../panels/PanelCard.tsx";
import { type Query, queryKey, type Selection } from "../../query/query.ts";
import { useConnection, useLastFrame, useLive, useQueryState } from "../../shell/live.ts";
import { useReportIssue } from "../../shell/panelIssues.tsx";
import { useFrozen } from "../../shell/pause.tsx";
import { useNow } from "../../shell/useNow.ts";
import type { MenuItem } from "../../ui/Menu.tsx";

interface Props {
  info: PanelInfo;
  query: Query;
  /** What the query was made from. */
  selection: Selection;
  as?: "card" | "figure";
  /** Absent if the panel is enlarged. */
  onEnlarge?: (panel: string) => void;
  /** Of a figure: makes it the main chart. */
  onChoose?: () => void;
  chosen?: boolean;
  alone?: boolean;
  menuItems?: MenuItem[];
  /** Leads to where the figures can be compared, if the panel cannot. */
  onCompare?: () => void;
  /** More in the header of the card. */
  extra?: ReactNode;
}

const MINUTE_MS = 60_000;

/** A panel or a question with its data. Only this one renders when its data changes. */
export const PanelSlot = memo(function PanelSlot(props: Props) {
  const {
    info,
    query,
    selection,
    as = "card",
    onEnlarge,
    onChoose,
    chosen,
    alone,
    menuItems,
    onCompare,
    extra,
  } = props;
  const state = useQueryState(query);
  const lastFrame = useLastFrame(query);
  const drawn = useFrozen(lastFrame, queryKey(query), lastFrame !== null && !lastFrame.placeholder);
  const { retry } = useLive();
  const { clockOffsetMs } = useConnection().state;
  const stale = state.status === "stale";
  const now = useNow(stale) + clockOffsetMs;
  const common = {
    info,
    state,
    // In whole minutes, because each change renders the card.
    serverNow: stale ? Math.floor(now / MINUTE_MS) * MINUTE_MS : undefined,
    drawn: drawn ?? undefined,
    onEnlarge,
    onRetry: retry,
    menuItems,
  };
  return (
    <>
      {onEnlarge && <Issue info={info} query={query} />}
      {as === "figure" ? (
        <FigureCard {...common} onChoose={onChoose} chosen={chosen} alone={alone} className="h-full" />
      ) : (
        <PanelCard
          {...common}
          extra={extra}
          notFiltered={!info.filterable && Boolean(selection.filters?.length)}
          onCompare={onCompare}
          notCompared={!info.comparable && Boolean(selection.compare)}
          className={onEnlarge ? "h-full" : "enlarged min-h-0 flex-1"}
        />
      )}
    </>
  );
});

function Issue({ info, query }: { info: PanelInfo; query: Query }) {
  useReportIssue(info.name, info.title, useQueryState(query));
  return null;
}
