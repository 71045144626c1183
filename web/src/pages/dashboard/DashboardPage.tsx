import { QueryClientProvider } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { preloadCharts } from "../../charts/Chart.tsx";
import { useConnection } from "../../shell/live.ts";
import { useView } from "../../shell/view.ts";
import { strings } from "../../strings.ts";
import { Button } from "../../ui/Button.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { BrokenPanels } from "./BrokenPanels.tsx";
import { createQueryClient, useCatalog } from "./catalog.ts";
import { DocumentTitle } from "./DocumentTitle.tsx";
import { EnlargedPanel } from "./EnlargedPanel.tsx";
import { GettingStarted } from "./gettingStarted/GettingStarted.tsx";
import { SetupChecklist } from "./gettingStarted/SetupChecklist.tsx";
import { useSetupPending } from "./gettingStarted/useSetupPending.ts";
import { placePanels } from "./grid.ts";
import { KioskGrid, PanelGrid } from "./PanelGrid.tsx";

/** The client for one-shot calls belongs to the page, so that the first load of other pages does without it. */
export default function DashboardPage() {
  const [queries] = useState(createQueryClient);
  return (
    <QueryClientProvider client={queries}>
      <Dashboard />
    </QueryClientProvider>
  );
}

function Dashboard() {
  const [view, setView] = useView();
  const { range, zone, panel, wall } = view;
  const catalog = useCatalog();
  const connection = useConnection();
  const panels = useMemo(() => placePanels(catalog.data?.panels ?? []).map((placed) => placed.panel), [catalog.data]);
  const enlarge = useCallback((name: string) => setView({ panel: name }), [setView]);
  const hasEvents = connection.hasEvents ?? catalog.data?.hasEvents;
  const [pending, finishSetup] = useSetupPending(hasEvents);
  const first = panels[0];

  useEffect(preloadCharts, []);
  useEffect(() => {
    if (hasEvents === false) document.title = strings.product;
  }, [hasEvents]);

  if (hasEvents === false) return <GettingStarted panels={panels} range={range} zone={zone} />;
  if (catalog.isError) {
    return (
      <EmptyState
        title={strings.catalogFailed}
        action={<Button onClick={() => void catalog.refetch()}>{strings.retry}</Button>}
      >
        {catalog.error.message}
      </EmptyState>
    );
  }
  if (!catalog.data) return <LoadingGrid />;
  const grid = { panels, range, zone, onEnlarge: enlarge };
  return (
    <>
      {first && <DocumentTitle panel={first.name} range={range} zone={zone} />}
      {panels.length === 0 && <EmptyState title={strings.noPanels}>{strings.noPanelsHint}</EmptyState>}
      {wall ? (
        <KioskGrid {...grid} />
      ) : (
        <>
          {pending && <SetupChecklist panels={panels} range={range} zone={zone} onDone={finishSetup} dismissible />}
          <PanelGrid {...grid} />
          <footer className="mt-4">
            <BrokenPanels broken={catalog.data.broken} />
          </footer>
        </>
      )}
      {panel && <EnlargedPanel name={panel} panels={panels} view={view} onView={setView} />}
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
