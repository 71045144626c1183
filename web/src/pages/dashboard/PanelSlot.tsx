import { memo, useMemo } from "react";
import type { PanelInfo } from "../../live/protocol.ts";
import { PanelCard } from "../../panels/PanelCard.tsx";
import { type PanelQuery, queryKey } from "../../query/query.ts";
import { useConnection, useLastFrame, useLive, useQueryState } from "../../shell/live.ts";
import { useReportIssue } from "../../shell/panelIssues.tsx";
import { useFrozen } from "../../shell/pause.tsx";
import { useNow } from "../../shell/useNow.ts";
import { strings } from "../../strings.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyButton } from "../../ui/CopyButton.tsx";
import { ErrorBoundary } from "../../ui/ErrorBoundary.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";

interface Props {
  info: PanelInfo;
  range: PanelQuery["range"];
  zone: string;
  /** Absent if the panel is enlarged. */
  onEnlarge?: (panel: string) => void;
}

const MINUTE_MS = 60_000;

/** A panel with its data. Only this one renders when its data changes. */
export const PanelSlot = memo(function PanelSlot({ info, range, zone, onEnlarge }: Props) {
  const query = useMemo(() => ({ panel: info.name, range, zone }), [info.name, range, zone]);
  const state = useQueryState(query);
  const lastFrame = useLastFrame(query);
  const shown = useFrozen(lastFrame, queryKey(query), lastFrame !== null && !lastFrame.placeholder);
  const drawn = useMemo(
    () => (shown ? { frame: shown.frame, query: shown.query, isPlaceholder: shown.placeholder } : undefined),
    [shown],
  );
  const { retry } = useLive();
  const { clockOffsetMs } = useConnection().state;
  const stale = state.status === "stale";
  const now = useNow(stale) + clockOffsetMs;
  return (
    <ErrorBoundary
      resetKey={drawn?.frame}
      fallback={(error, reset) => (
        <section aria-label={info.title} data-panel={info.name} className="card h-full">
          <EmptyState title={strings.cardFailed} action={<Button onClick={reset}>{strings.retry}</Button>}>
            {error.message}
          </EmptyState>
        </section>
      )}
    >
      {onEnlarge && <Issue info={info} query={query} />}
      <PanelCard
        info={info}
        state={state}
        // In whole minutes, because each change renders the card.
        serverNow={stale ? Math.floor(now / MINUTE_MS) * MINUTE_MS : undefined}
        drawn={drawn}
        onEnlarge={onEnlarge}
        onRetry={retry}
        sqlActions={<CopyButton text={info.sql} />}
        className={onEnlarge ? "h-full" : "enlarged min-h-0 flex-1"}
      />
    </ErrorBoundary>
  );
});

function Issue({ info, query }: { info: PanelInfo; query: PanelQuery }) {
  useReportIssue(info.name, info.title, useQueryState(query));
  return null;
}
