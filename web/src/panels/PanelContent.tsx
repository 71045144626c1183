import { memo } from "react";
import type { PanelState } from "../live/state.ts";
import type { Display, PanelDefinition, ShapedPanel } from "./panel.ts";
import { EmptyPlaceholder, ErrorPlaceholder, LoadingPlaceholder } from "./placeholders.tsx";
import { TableView } from "./TableView.tsx";

interface Props {
  title: string;
  definition: PanelDefinition;
  shaped: ShapedPanel<unknown> | null;
  state: PanelState | undefined;
  display: Display;
  asTable: boolean;
  onRetry: () => void;
}

/** The body of a panel: the chart or table, or a placeholder. */
export const PanelContent = memo(function PanelContent(props: Props) {
  const { title, definition, shaped, state, display, asTable, onRetry } = props;
  if (!shaped) {
    const loading = !state || state.phase === "connecting" || state.phase === "live";
    return loading ? (
      <LoadingPlaceholder title={title} />
    ) : (
      <ErrorPlaceholder reason={state.reason ?? "no response"} onRetry={onRetry} />
    );
  }
  return (
    <div className={`flex min-h-0 flex-1 flex-col ${state?.outdated ? "opacity-50" : ""}`} aria-busy={state?.outdated}>
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
