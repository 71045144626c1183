import { useParams } from "@tanstack/react-router";
import { Suspense, useCallback, useEffect, useMemo } from "react";
import { preloadCharts } from "../../charts/Chart.tsx";
import { type AddFilter, ValueFilterContext } from "../../charts/valueFilter.tsx";
import { type OnZoom, ZoomContext } from "../../charts/zoom.tsx";
import type { Catalog } from "../../frame/catalog.ts";
import { lazyPart } from "../../lazyPart.ts";
import { panelQuery, type Selection } from "../../query/query.ts";
import { useCatalog, useConnection, useLive } from "../../shell/live.ts";
import { type BarControl, Page } from "../../shell/Page.tsx";
import { SpanOfPanel } from "../../shell/ShownSpan.tsx";
import { useParameters, useView, withFilter } from "../../shell/view.ts";
import { strings } from "../../strings.ts";
import { Button } from "../../ui/Button.tsx";
import { ErrorBoundary, OptionalPart } from "../../ui/ErrorBoundary.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { BoardSwitcher, EditButton, useMayEditBoards, useOffered } from "./BoardActions.tsx";
import { BoardGrid, Watch } from "./BoardGrid.tsx";
import { type BoardView, readBoardView, withParameter, writeBoardView } from "./board/address.ts";
import { arrange, type Cell } from "./board/arrange.ts";
import { type Board, contentKey } from "./board/board.ts";
import { assumedBoard, type Known, kindOf, type Shown, shownBy } from "./board/items.ts";
import { useStartRange } from "./board/startRange.ts";
import { useBoard } from "./board/useBoard.ts";
import { DocumentTitle } from "./DocumentTitle.tsx";
import { useSetupPending } from "./gettingStarted/useSetupPending.ts";
import { inOrder } from "./grid.ts";
import { LoadingGrid } from "./LoadingGrid.tsx";
import { NotFound } from "./NotFound.tsx";
import { ParametersContext } from "./parameters.tsx";
import { boardStrings as words } from "./strings.ts";

const KioskGrid = lazyPart(() => import("./KioskGrid.tsx"), "idle");
const EnlargedPanel = lazyPart(() => import("./EnlargedPanel.tsx"), "idle");
const GettingStarted = lazyPart(() => import("./gettingStarted/GettingStarted.tsx"));
const SetupChecklist = lazyPart(() => import("./gettingStarted/SetupChecklist.tsx"));
const BrokenPanels = lazyPart(() => import("./BrokenPanels.tsx"));
const EditBoard = lazyPart(() => import("./edit/EditBoard.tsx"));

const USES: BarControl[] = ["range", "compare", "zone", "filters", "pause", "kiosk"];

/** Shown at `/`. Built in, unless a file of its name replaces it. */
export const DEFAULT_BOARD = "default";

export default function DashboardPage() {
  const { name = DEFAULT_BOARD } = useParams({ strict: false }) as { name?: string };
  const [view, setView] = useView();
  const { zone, compare, filters, panel, wall } = view;
  const [boardView, setBoardView] = useBoardView();
  const { catalog, failure } = useCatalog();
  const { hasEvents, state } = useConnection();
  const { retry } = useLive();
  const loaded = useBoard(name, catalog?.version);
  const range = useStartRange(loaded.board, view, setView);
  const offered = useOffered();
  const editable = useMayEditBoards(offered) && loaded.board !== undefined;
  const { insights } = loaded;
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

  const board = useShownBoard(name, loaded, catalog);
  const known = useMemo<Known | undefined>(() => catalog && { catalog, insights }, [catalog, insights]);
  const cells = useMemo(
    () => (board && known ? arrange(board, { kindOf: (item) => kindOf(item, known), main: boardView.main }) : []),
    [board, known, boardView.main],
  );
  const panels = useMemo(() => shownOn(cells, known), [cells, known]);
  const enlargeable = useMemo(() => withNamed(panels, panel, known), [panels, panel, known]);
  const all = useMemo(() => inOrder(catalog?.panels ?? []), [catalog]);
  const [first] = panels;
  // A number often has a span of its own.
  const overRange = panels.find(({ info }) => info.chart !== "number");
  const enlarge = useCallback((panel: string) => setView({ panel }), [setView]);
  const zoom: OnZoom = useCallback((from, to) => setView({ range: { from, to } }), [setView]);
  const parameters = useMemo(
    () => ({
      values: boardView.parameters,
      set: (panel: string, values: Record<string, string | undefined>) => {
        let next = boardView.parameters;
        for (const [name, value] of Object.entries(values)) next = withParameter(next, panel, name, value);
        setBoardView({ parameters: next });
      },
    }),
    [boardView.parameters, setBoardView],
  );
  const choose = useCallback(
    (cell: Cell) => {
      const key = contentKey(cell.item.content);
      setBoardView({ main: boardView.main === key ? undefined : key });
    },
    [setBoardView, boardView.main],
  );

  const edit = () => setBoardView({ edit: true });

  // Not before the stream is open: on a slow link they would delay the first figures.
  const connecting = state.phase === "connecting";
  useEffect(() => {
    if (!connecting) preloadCharts();
  }, [connecting]);
  useEffect(() => {
    if (hasEvents === false) document.title = strings.product;
  }, [hasEvents]);

  const title = board?.title || (name === DEFAULT_BOARD ? strings.dashboard : name);
  const page = { name: title, uses: USES, title: null };
  if (hasEvents === false) {
    return (
      <Page {...page}>
        <Suspense fallback={<LoadingGrid />}>
          <GettingStarted panels={all} range={range} zone={zone} />
        </Suspense>
      </Page>
    );
  }
  if (!catalog && failure !== undefined) {
    return (
      <Page {...page}>
        <EmptyState title={strings.catalogFailed} action={<Button onClick={retry}>{strings.retry}</Button>}>
          {failure}
        </EmptyState>
      </Page>
    );
  }
  if (loaded.missing && !board) {
    return (
      <Page {...page} title={undefined} nameExtra={<BoardSwitcher name={name} title={title} offered={offered} />}>
        <NotFound name={name} />
      </Page>
    );
  }
  if (!catalog || !known || !board) {
    return (
      <Page {...page}>
        <LoadingGrid />
        {catalog && name === DEFAULT_BOARD && <Prewatch catalog={catalog} selection={selection} />}
        {loaded.failure && !connecting && name !== DEFAULT_BOARD && (
          <Note text={`${words.failed}: ${loaded.failure}.`} onRetry={loaded.reload} />
        )}
      </Page>
    );
  }
  if (boardView.edit && loaded.board && !wall) {
    return (
      <Suspense fallback={<LoadingGrid />}>
        <EditBoard loaded={loaded} known={known} selection={selection} onDone={() => setBoardView({ edit: false })} />
      </Suspense>
    );
  }
  const grid = { cells, known, selection, onEnlarge: enlarge };
  return (
    <Page
      {...page}
      span={overRange && <SpanOfPanel query={overRange.query(selection, boardView.parameters)} />}
      nameExtra={<BoardSwitcher name={name} title={title} offered={offered} />}
      actions={editable && <EditButton onEdit={edit} />}
    >
      <ValueFilterContext value={addFilter}>
        <ZoomContext value={zoom}>
          <ParametersContext value={parameters}>
            {first && <DocumentTitle query={first.query(selection, boardView.parameters)} />}
            {!loaded.board && loaded.failure && (
              <Note text={words.failedHint(loaded.failure)} onRetry={loaded.reload} />
            )}
            {loaded.board && loaded.missing && <Note text={words.removedMeanwhile} />}
            {board.items.length === 0 && (
              <EmptyState title={name === DEFAULT_BOARD && board.builtIn ? strings.noPanels : words.empty}>
                {name === DEFAULT_BOARD && board.builtIn ? strings.noPanelsHint : words.emptyReadOnly}
              </EmptyState>
            )}
            {wall ? (
              <Suspense fallback={<LoadingGrid />}>
                <KioskGrid {...grid} />
              </Suspense>
            ) : (
              // One boundary for all: a list that came later would move the panels.
              <Suspense fallback={<LoadingGrid />}>
                <ErrorBoundary fallback={() => null}>
                  {pending && (
                    <SetupChecklist panels={all} range={range} zone={zone} onDone={finishSetup} dismissible />
                  )}
                </ErrorBoundary>
                <BoardGrid {...grid} onChoose={choose} />
                <footer className="mt-4 flex flex-col items-start gap-4">
                  {editable && (
                    <Button icon="edit" className="min-[60rem]:hidden" onClick={edit}>
                      {words.edit}
                    </Button>
                  )}
                  {catalog.broken.length > 0 && (
                    <OptionalPart>
                      <BrokenPanels broken={catalog.broken} />
                    </OptionalPart>
                  )}
                </footer>
              </Suspense>
            )}
            {panel && (
              <OptionalPart onClose={() => setView({ panel: undefined })}>
                <EnlargedPanel name={panel} panels={enlargeable} view={view} selection={selection} onView={setView} />
              </OptionalPart>
            )}
          </ParametersContext>
        </ZoomContext>
      </ValueFilterContext>
    </Page>
  );
}

/** The loaded dashboard. If the built-in one cannot be loaded, the catalogue knows what is on it. */
function useShownBoard(
  name: string,
  loaded: ReturnType<typeof useBoard>,
  catalog: Catalog | undefined,
): Board | undefined {
  const { board, failure, missing } = loaded;
  const assumed = !board && failure !== undefined && !missing && name === DEFAULT_BOARD;
  return useMemo(() => (assumed && catalog ? assumedBoard(name, catalog) : board), [assumed, catalog, name, board]);
}

function useBoardView(): [BoardView, (change: Partial<BoardView>) => void] {
  const [search, change] = useParameters();
  const current = useMemo(() => readBoardView(search), [search]);
  const set = useCallback(
    (next: Partial<BoardView>) => change(writeBoardView({ ...current, ...next })),
    [change, current],
  );
  return [current, set];
}

/** What is on the dashboard in the order of reading, each once. */
function shownOn(cells: Cell[], known: Known | undefined): Shown[] {
  const byName = new Map<string, Shown>();
  for (const { item } of cells) {
    const shown = known && shownBy(item, known);
    if (shown && !byName.has(shown.info.name)) byName.set(shown.info.name, shown);
  }
  return [...byName.values()];
}

/** A link may name a panel that is not on the dashboard: one of the sender's, or of an earlier version of it. */
function withNamed(panels: Shown[], name: string | undefined, known: Known | undefined): Shown[] {
  if (!name || !known || panels.some(({ info }) => info.name === name)) return panels;
  const named = shownBy({ id: name, title: "", content: { case: "panel", value: name }, chart: 0 }, known);
  return named ? [...panels, named] : panels;
}

/** Without filters by dimensions that the server does not have: it would reject every query. */
function knownSelection({ filters = [], ...rest }: Selection, catalog: Catalog | undefined): Selection {
  const known = new Set(catalog?.dimensions.map(({ name }) => name));
  return { ...rest, filters: filters.filter(({ dimension }) => known.has(dimension)) };
}

/**
 * The panels that the built-in dashboard would show are requested as soon as the catalogue is known, if the dashboard itself
 * takes longer: the first figures do not wait for it.
 */
const Prewatch = ({ catalog, selection }: { catalog: Catalog; selection: Selection }) =>
  catalog.panels.map((panel) => <Watch key={panel.name} query={panelQuery(panel, selection)} />);

const Note = ({ text, onRetry }: { text: string; onRetry?: () => void }) => (
  <div role="status" className="shell-note" data-board-note="">
    <p className="min-w-0 flex-1">{text}</p>
    {onRetry && <Button onClick={onRetry}>{strings.retry}</Button>}
  </div>
);
