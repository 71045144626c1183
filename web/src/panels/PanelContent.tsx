import { memo } from "react";
import type { PanelState } from "../live/state.ts";
import type { Display, PanelDefinition, ShapedPanel } from "./panel.ts";
import { EmptyPlaceholder, ErrorPlaceholder, LoadingPlaceholder } from "./placeholders.tsx";
import { TableView } from "./TableView.tsx";

interface Props {
  title: string;
  definition: PanelDefinition;
  shaped: ShapedPanel<unknown> | null;
  live: PanelState | undefined;
  display: Display;
  asTable: boolean;
  onRetry: () => void;
}

/** The inside of a panel: its values where there are any, else why there are none. */
export const PanelContent = memo(function PanelContent(props: Props) {
  const { title, definition, shaped, live, display, asTable, onRetry } = props;
  if (!shaped) {
    const waiting = !live || live.phase === "connecting" || live.phase === "live";
    return waiting ? (
      <LoadingPlaceholder title={title} />
    ) : (
      <ErrorPlaceholder reason={live.reason ?? "no answer"} onRetry={onRetry} />
    );
  }
  return (
    <div className={`flex min-h-0 flex-1 flex-col ${live?.outdated ? "opacity-50" : ""}`} aria-busy={live?.outdated}>
      {shaped.empty ? (
        <EmptyPlaceholder hint={definition.emptyHint} />
      ) : asTable ? (
        <TableView table={shaped.table} zone={display.zone} caption={title} />
      ) : (
        <definition.Body data={shaped.data} display={display} summary={shaped.summary} />
      )}
    </div>
  );
});
