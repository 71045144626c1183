import { useRouter } from "@tanstack/react-router";
import { memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { type OnPick, PickProvider } from "../../charts/pick.tsx";
import { lazyPart } from "../../lazyPart.ts";
import { Failure } from "../../panels/Failure.tsx";
import { isExplore, type Query, type Selection } from "../../query/query.ts";
import type { Search } from "../../shell/view.ts";
import { strings } from "../../strings.ts";
import { OptionalPart } from "../../ui/ErrorBoundary.tsx";
import { Icon } from "../../ui/icons.tsx";
import type { MenuItem } from "../../ui/Menu.tsx";
import { showToast } from "../../ui/toast.ts";
import type { Cell } from "./board/arrange.ts";
import { type Known, type Shown, shownBy, titleOf } from "./board/items.ts";
import { PanelSlot } from "./PanelSlot.tsx";
import { parametersText, useParametersOfPage } from "./parameters.tsx";
import { boardStrings as words } from "./strings.ts";

const Details = lazyPart(() => import("./Details.tsx"));
const ParametersDialog = lazyPart(() => import("./ParametersDialog.tsx"));

/** The built-in panels whose figures Explore can compute: those of `panelQuestions.ts`, which is loaded later. */
export const IN_EXPLORE = new Set([
  "active_users",
  "error_rate",
  "signup_funnel",
  "top_features",
  "top_pages",
  "traffic_by_country",
]);

export interface SlotProps {
  cell: Cell;
  known: Known;
  selection: Selection;
  onEnlarge?: (panel: string) => void;
  /** Makes the figure the main chart. Absent if that makes no sense. */
  onChoose?: (cell: Cell) => void;
  chosen?: boolean;
  /** No other cell shows the same. */
  alone?: boolean;
  menuItems?: MenuItem[];
}

/** One item with its data. Only this one renders when its data changes. */
export const ItemSlot = memo(function ItemSlot(props: SlotProps) {
  const { cell, known, selection, onEnlarge, onChoose, chosen, alone, menuItems } = props;
  const { item, as } = cell;
  const shown = useMemo(() => shownBy(item, known), [item, known]);
  const { values } = useParametersOfPage();
  const query = useMemo(() => shown?.query(selection, values), [shown, selection, values]);
  const [popup, setPopup] = useState<"parameters" | "details">();
  const onPick = usePeople(query);
  const openInExplore = useExplore();
  const title = titleOf(item, known);
  if (!shown || !query || item.error) {
    const waiting = item.content.case === "insight" && known.insights === undefined;
    return waiting ? <WaitingCard title={title} /> : <MissingCard title={title} item={item} />;
  }
  const { info } = shown;
  const isRanking = info.chart === "horizontal-bar" || info.chart === "table";
  const canExplore = isExplore(query) || (info.builtIn && IN_EXPLORE.has(info.name));
  const explore = () => openInExplore(query, shown, title);
  const items: MenuItem[] = [
    ...(canExplore ? [{ label: words.openInExplore, onSelect: explore }] : []),
    ...(isRanking ? [{ label: words.details, onSelect: () => setPopup("details") }] : []),
    ...(info.parameters?.length ? [{ label: words.parameters, onSelect: () => setPopup("parameters") }] : []),
    ...(menuItems ?? []),
  ];
  const set = parametersText(info, values);
  return (
    <PickProvider onPick={onPick}>
      <PanelSlot
        info={info}
        query={query}
        selection={selection}
        as={as}
        onEnlarge={onEnlarge}
        onChoose={onChoose && (() => onChoose(cell))}
        chosen={chosen}
        alone={alone}
        menuItems={items}
        onCompare={canExplore ? explore : undefined}
        extra={
          set && (
            <button
              type="button"
              className="shrink-0 truncate rounded-md bg-sunken px-1.5 py-0.5 text-xs text-muted hover:text-ink"
              data-set=""
              onClick={() => setPopup("parameters")}
            >
              {set}
            </button>
          )
        }
      />
      {popup === "parameters" && (
        <OptionalPart onClose={() => setPopup(undefined)}>
          <ParametersDialog info={info} onClose={() => setPopup(undefined)} />
        </OptionalPart>
      )}
      {popup === "details" && (
        <OptionalPart onClose={() => setPopup(undefined)}>
          <Details info={info} query={query} onClose={() => setPopup(undefined)} />
        </OptionalPart>
      )}
    </PickProvider>
  );
});

/** Leads from a figure of a question to the people that it counts. Undefined for a panel, which does not know them. */
function usePeople(query: Query | undefined): OnPick | undefined {
  const router = useRouter();
  const latest = useRef(query);
  useEffect(() => {
    latest.current = query;
  });
  const open = useCallback(
    async (pick: Parameters<OnPick>[0]) => {
      const asked = latest.current;
      if (!asked || !isExplore(asked)) return;
      try {
        const { peopleSearch } = await import("./openQuestion.ts");
        const search = peopleSearch(asked, pick, router.state.location.search as Search);
        if (search) void router.navigate({ to: "/people", search: search as never });
      } catch {
        showToast({ title: strings.partFailed, type: "error" });
      }
    },
    [router],
  );
  return query && isExplore(query) && query.explore.kind !== "paths" ? open : undefined;
}

/** Leads to a question in Explore, or to that of a panel. */
function useExplore() {
  const router = useRouter();
  return async (query: Query, shown: Shown, title: string) => {
    try {
      const { exploreSearch, panelSearch } = await import("./openQuestion.ts");
      const view = router.state.location.search as Search;
      const search = isExplore(query)
        ? exploreSearch(query, shown, title, view)
        : panelSearch(query.panel, title, view);
      void router.navigate({ to: "/explore", search: search as never });
    } catch {
      showToast({ title: strings.partFailed, type: "error" });
    }
  };
}

const WaitingCard = ({ title }: { title: string }) => (
  <section aria-label={title} aria-busy="true" className="card h-full">
    <h2 className="mb-3 truncate text-sm font-medium">{title}</h2>
    <div className="skeleton min-h-10 flex-1" />
  </section>
);

/** The panel or the insight does not exist. The rest of the dashboard is not affected. */
function MissingCard({ title, item }: { title: string; item: Cell["item"] }) {
  const { content, error } = item;
  const reason = error ?? (content.case === "insight" ? words.noInsight(content.value) : words.itemMissing);
  return (
    <section aria-label={title} data-missing="" className="card h-full">
      <h2 className="mb-2 flex min-w-0 items-center gap-2 text-sm font-medium">
        <Icon name="warning" className="text-warn" />
        <span className="truncate">{title}</span>
      </h2>
      <Failure reason={`${words.itemMissing}: ${reason}`} />
    </section>
  );
}
