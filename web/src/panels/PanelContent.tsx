import { memo } from "react";
import type { PanelLive } from "../live/state.ts";
import type { Display, PanelView, Shaped } from "./panel.ts";
import { Empty, Failed, Loading } from "./states.tsx";
import { TableView } from "./TableView.tsx";

interface Props {
  title: string;
  view: PanelView;
  shaped: Shaped<unknown> | null;
  live: PanelLive | undefined;
  display: Display;
  asTable: boolean;
  onRetry: () => void;
}

/** The inside of a panel: its figures where there are any, else why there are none. */
export const PanelContent = memo(function PanelContent(props: Props) {
  const { title, view, shaped, live, display, asTable, onRetry } = props;
  if (!shaped) {
    const waiting = !live || live.phase === "connecting" || live.phase === "live";
    return waiting ? <Loading title={title} /> : <Failed reason={live.reason ?? "no answer"} onRetry={onRetry} />;
  }
  return (
    <div className={`flex min-h-0 flex-1 flex-col ${live?.outdated ? "opacity-50" : ""}`} aria-busy={live?.outdated}>
      {shaped.empty ? (
        <Empty hint={view.emptyHint} />
      ) : asTable ? (
        <TableView table={shaped.table} zone={display.zone} caption={title} />
      ) : (
        <view.Body data={shaped.data} display={display} summary={shaped.summary} />
      )}
    </div>
  );
});
