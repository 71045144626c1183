import { Suspense, useCallback, useEffect, useMemo } from "react";
import { preloadCharts } from "../../charts/Chart.tsx";
import { lazyPart } from "../../lazyPart.ts";
import { useCatalog, useConnection, useLive } from "../../shell/live.ts";
import { useView } from "../../shell/view.ts";
import { strings } from "../../strings.ts";
import { Button } from "../../ui/Button.tsx";
import { ErrorBoundary, OptionalPart } from "../../ui/ErrorBoundary.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { BrokenPanels } from "./BrokenPanels.tsx";
import { DocumentTitle } from "./DocumentTitle.tsx";
import { useSetupPending } from "./gettingStarted/useSetupPending.ts";
import { placePanels } from "./grid.ts";
import { KioskGrid, PanelGrid } from "./PanelGrid.tsx";

const EnlargedPanel = lazyPart(() => import("./EnlargedPanel.tsx"), "idle");
const GettingStarted = lazyPart(() => import("./gettingStarted/GettingStarted.tsx"));
const SetupChecklist = lazyPart(() => import("./gettingStarted/SetupChecklist.tsx"));

export default function DashboardPage() {
  const [view, setView] = useView();
  const { range, zone, panel, wall } = view;
  const { catalog, failure } = useCatalog();
  const { hasEvents, state } = useConnection();
  const { retry } = useLive();
  const panels = useMemo(() => placePanels(catalog?.panels ?? []).map((placed) => placed.panel), [catalog]);
  const enlarge = useCallback((name: string) => setView({ panel: name }), [setView]);
  const [pending, finishSetup] = useSetupPending(hasEvents);
  const first = panels[0];

  // Not before the stream is open: on a slow link they would delay the first figures.
  const connecting = state.phase === "connecting";
  useEffect(() => {
    if (!connecting) preloadCharts();
  }, [connecting]);
  useEffect(() => {
    if (hasEvents === false) document.title = strings.product;
  }, [hasEvents]);

  if (hasEvents === false) {
    return (
      <Suspense fallback={<LoadingGrid />}>
        <GettingStarted panels={panels} range={range} zone={zone} />
      </Suspense>
    );
  }
  if (!catalog && failure !== undefined) {
    return (
      <EmptyState title={strings.catalogFailed} action={<Button onClick={retry}>{strings.retry}</Button>}>
        {failure}
      </EmptyState>
    );
  }
  if (!catalog) return <LoadingGrid />;
  const grid = { panels, range, zone, onEnlarge: enlarge };
  return (
    <>
      {first && <DocumentTitle panel={first.name} range={range} zone={zone} />}
      {panels.length === 0 && <EmptyState title={strings.noPanels}>{strings.noPanelsHint}</EmptyState>}
      {wall ? (
        <KioskGrid {...grid} />
      ) : (
        // One boundary for all: a list that came later would move the panels.
        <Suspense fallback={<LoadingGrid />}>
          <ErrorBoundary fallback={() => null}>
            {pending && <SetupChecklist panels={panels} range={range} zone={zone} onDone={finishSetup} dismissible />}
          </ErrorBoundary>
          <PanelGrid {...grid} />
          <footer className="mt-4">
            <BrokenPanels broken={catalog.broken} />
          </footer>
        </Suspense>
      )}
      {panel && (
        <OptionalPart onClose={() => setView({ panel: undefined })}>
          <EnlargedPanel name={panel} panels={panels} view={view} onView={setView} />
        </OptionalPart>
      )}
    </>
  );
}

const FIRST_CARDS = ["small", "small", "small", "small", "large", "large", "large", "large"] as const;

/** The same frame as in index.html, until the list of panels is known. */
export const LoadingGrid = () => (
  <div className="grid-panels" aria-busy="true">
    <p className="sr-only" role="status">
      {strings.loading}
    </p>
    {FIRST_CARDS.map((size, index) => (
      // biome-ignore lint/suspicious/noArrayIndexKey: the list is constant
      <div key={index} className={`first-card first-${size}`} aria-hidden="true">
        <span className="first-bar" />
      </div>
    ))}
  </div>
);
