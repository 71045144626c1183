import { Suspense, useCallback, useEffect, useMemo } from "react";
import { preloadCharts } from "../../charts/Chart.tsx";
import { type AddFilter, ValueFilterContext } from "../../charts/valueFilter.tsx";
import type { Catalog } from "../../frame/catalog.ts";
import { lazyPart } from "../../lazyPart.ts";
import { panelQuery, type Selection } from "../../query/query.ts";
import { useCatalog, useConnection, useLive } from "../../shell/live.ts";
import { ViewBar } from "../../shell/ViewBar.tsx";
import { useView, withFilter } from "../../shell/view.ts";
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
  const { range, zone, compare, filters, panel, wall } = view;
  const { catalog, failure } = useCatalog();
  const { hasEvents, state } = useConnection();
  const { retry } = useLive();
  const panels = useMemo(() => placePanels(catalog?.panels ?? []).map((placed) => placed.panel), [catalog]);
  const enlarge = useCallback((name: string) => setView({ panel: name }), [setView]);
  const [pending, finishSetup] = useSetupPending(hasEvents);
  const selection = useMemo(
    () => knownSelection({ range, zone, compare, filters }, catalog),
    [range, zone, compare, filters, catalog],
  );
  const addFilter: AddFilter = useCallback(
    (dimension) =>
      catalog?.dimensions.some(({ name }) => name === dimension)
        ? (value) => setView({ filters: withFilter(filters, { dimension, value }) })
        : undefined,
    [catalog, filters, setView],
  );
  const [first] = panels;
  // A number often has a span of its own.
  const overRange = panels.find(({ chart }) => chart !== "number");

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
  const grid = { panels, selection, onEnlarge: enlarge };
  return (
    <ValueFilterContext value={addFilter}>
      {first && <DocumentTitle query={panelQuery(first, selection)} />}
      {panels.length === 0 && <EmptyState title={strings.noPanels}>{strings.noPanelsHint}</EmptyState>}
      {wall ? (
        <KioskGrid {...grid} />
      ) : (
        // One boundary for all: a list that came later would move the panels.
        <Suspense fallback={<LoadingGrid />}>
          <ViewBar
            catalog={catalog}
            view={view}
            selection={selection}
            spanQuery={overRange && panelQuery(overRange, selection)}
            onView={setView}
          />
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
          <EnlargedPanel name={panel} panels={panels} view={view} selection={selection} onView={setView} />
        </OptionalPart>
      )}
    </ValueFilterContext>
  );
}

/** Without filters by dimensions that the server does not have: it would reject every query. */
function knownSelection({ filters = [], ...rest }: Selection, catalog: Catalog | undefined): Selection {
  const known = new Set(catalog?.dimensions.map(({ name }) => name));
  return { ...rest, filters: filters.filter(({ dimension }) => known.has(dimension)) };
}

const FIRST_CARDS = ["small", "small", "small", "small", "large", "large", "large", "large"] as const;

/** The same frame as in index.html, until the list of panels is known. */
export const LoadingGrid = () => (
  <div aria-busy="true">
    <p className="sr-only" role="status">
      {strings.loading}
    </p>
    <div className="view-bar" />
    <div className="grid-panels">
      {FIRST_CARDS.map((size, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the list is constant
        <div key={index} className={`first-card first-${size}`} aria-hidden="true">
          <span className="first-bar" />
        </div>
      ))}
    </div>
  </div>
);
