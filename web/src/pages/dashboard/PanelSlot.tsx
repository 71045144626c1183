import { memo, useMemo } from "react";
import type { PanelInfo } from "../../live/protocol.ts";
import { type PanelQuery, queryKey } from "../../query/query.ts";
import { useLastFrame, useLive, useQueryState } from "../../shell/live.ts";
import { useReportIssue } from "../../shell/panelIssues.tsx";
import { useFrozen } from "../../shell/pause.tsx";
import { strings } from "../../strings.ts";
import { Button } from "../../ui/Button.tsx";
import { ErrorBoundary } from "../../ui/ErrorBoundary.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { PanelCard } from "./panelCard.ts";

interface Props {
  info: PanelInfo;
  range: PanelQuery["range"];
  zone: string;
  onEnlarge: (panel: string) => void;
  enlarged?: boolean;
}

/** A panel with its data. Only this one renders when its data changes. */
export const PanelSlot = memo(function PanelSlot({ info, range, zone, onEnlarge, enlarged }: Props) {
  const query = useMemo(() => ({ panel: info.name, range, zone }), [info.name, range, zone]);
  const state = useQueryState(query);
  const lastFrame = useLastFrame(query);
  const drawn = useFrozen(lastFrame, queryKey(query), lastFrame.frame !== undefined && !lastFrame.placeholder);
  const { retry } = useLive();
  return (
    <ErrorBoundary
      resetKey={drawn.frame}
      fallback={(error, reset) => (
        <section aria-label={info.title} data-panel={info.name} className="card h-full">
          <EmptyState title={strings.cardFailed} action={<Button onClick={reset}>{strings.retry}</Button>}>
            {error.message}
          </EmptyState>
        </section>
      )}
    >
      {!enlarged && <Issue info={info} query={query} />}
      <PanelCard
        info={info}
        state={state}
        drawn={drawn}
        onEnlarge={() => onEnlarge(info.name)}
        onRetry={retry}
        enlarged={enlarged}
      />
    </ErrorBoundary>
  );
});

function Issue({ info, query }: { info: PanelInfo; query: PanelQuery }) {
  useReportIssue(info.name, info.title, useQueryState(query));
  return null;
}
