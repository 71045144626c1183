import { memo, type ReactNode, useId, useRef, useState } from "react";
import { figuresOf } from "../charts/bigFigure.ts";
import { Chart } from "../charts/Chart.tsx";
import { emptyWords } from "../frame/words.ts";
import { formatInstant } from "../lib/time.ts";
import type { LastFrame } from "../live/hooks.tsx";
import type { PanelInfo, QueryState } from "../live/protocol.ts";
import { queryKey } from "../query/query.ts";
import { ErrorBoundary } from "../ui/ErrorBoundary.tsx";
import type { MenuItem } from "../ui/Menu.tsx";
import { type CardState, cardState } from "./cardState.ts";
import { Failure } from "./Failure.tsx";
import { FiguresRow } from "./FiguresRow.tsx";
import { usePanelActions } from "./panelActions.tsx";

export interface PanelCardProps {
  info: PanelInfo;
  /** The result to draw with its query. Undefined before the first one. */
  drawn: LastFrame | undefined;
  /** Of the selected query. */
  state: QueryState;
  /** The server's clock, from which the age of stale figures is told. Of the state's beginning if absent. */
  serverNow?: number;
  onRetry: () => void;
  /** Absent if the panel is already enlarged. */
  onEnlarge?: (panel: string) => void;
  /** Whether the page has filters that do not apply to this panel. */
  notFiltered?: boolean;
  /** Whether the page has a comparison that does not apply to this panel. */
  notCompared?: boolean;
  /** Leads to where the figures can be compared. */
  onCompare?: () => void;
  /** More in the header of the card, before the menu. */
  extra?: ReactNode;
  /** More in the menu. */
  menuItems?: MenuItem[];
  className?: string;
}

/** Enlarged charts have space for more bars. More series would not be distinguishable. */
const ENLARGED_FACTOR = 4;

interface TagsProps {
  drawn: LastFrame | undefined;
  card: CardState;
  notFiltered: boolean;
  notCompared: boolean;
  onCompare?: () => void;
}

const WARNING_TAG =
  "shrink-0 rounded-md border border-line-strong px-1.5 py-0.5 text-xs whitespace-nowrap text-warn @max-2xs:order-last";

function Tags({ drawn, card, notFiltered, notCompared, onCompare }: TagsProps) {
  const span = drawn?.frame.context.span;
  return (
    <>
      {notFiltered && (
        <span
          data-not-filtered=""
          className={WARNING_TAG}
          title="This panel cannot be filtered: its figures are those of all events"
        >
          not filtered
        </span>
      )}
      {notCompared && onCompare && (
        <button
          type="button"
          data-not-compared=""
          className={`${WARNING_TAG} hover:bg-hover`}
          title="Not compared here: opens the comparison in Explore"
          onClick={onCompare}
        >
          compare in Explore
        </button>
      )}
      {notCompared && !onCompare && (
        <span
          data-not-compared=""
          className={WARNING_TAG}
          title="This panel cannot be compared with an earlier period: it has neither a time axis nor figures"
        >
          not compared
        </span>
      )}
      {span && (
        <span
          data-span=""
          className="shrink-0 rounded-md bg-sunken px-1.5 py-0.5 text-xs whitespace-nowrap text-muted @max-2xs:order-last"
          title="This panel has its own time span"
        >
          {span}
        </span>
      )}
      {card.placeholder && (
        <span
          className="min-w-0 shrink-[9] truncate text-xs text-warn"
          title={`${card.placeholder}: the new selection is loading`}
        >
          {card.placeholder}
        </span>
      )}
      {card.asOf && (
        <span data-as-of="" className="shrink-0 text-xs whitespace-nowrap text-warn tabular-nums">
          {card.asOf}
        </span>
      )}
    </>
  );
}

function Body({
  info,
  drawn,
  state,
  card,
  asTable,
  large,
  onRetry,
}: Pick<PanelCardProps, "info" | "drawn" | "state" | "onRetry"> & {
  card: CardState;
  asTable: boolean;
  large: boolean;
}) {
  if (card.body === "failed") return <Failure reason={state.reason ?? ""} onRetry={onRetry} />;
  if (!drawn) {
    return (
      <div className="flex flex-1 flex-col gap-3" role="status" aria-label={`${info.title} is loading`}>
        <div className="skeleton h-8 w-28" />
        {info.chart !== "number" && <div className="skeleton min-h-24 flex-1" />}
      </div>
    );
  }
  const { frame, query } = drawn;
  const isNumber = info.chart === "number" && !asTable;
  // The numbers of a trend have lines beside them.
  const hasLines = isNumber && frame.detail?.kind === "trend";
  const figures = hasLines ? [] : isNumber ? figuresOf(frame) : frame.figures;
  return (
    <div className="flex min-h-0 flex-1 flex-col" data-dimmed={card.dimmed ? "" : undefined}>
      <FiguresRow
        figures={figures}
        frame={frame}
        size={large ? 3.5 : isNumber ? 2.25 : 1.75}
        dimmed={card.dimmed}
        approximate={frame.context.approximate}
      />
      {card.body === "empty" ? (
        <p className="my-auto py-4 text-center text-sm text-muted">{emptyWords(frame, info.events)}</p>
      ) : (
        (!isNumber || hasLines) && (
          <Chart
            frame={frame}
            frameKey={queryKey(query)}
            kind={asTable ? "table" : info.chart}
            title={info.title}
            top={large && info.chart === "horizontal-bar" ? info.top * ENLARGED_FACTOR : info.top}
          />
        )
      )}
    </div>
  );
}

/** What the panel is about, and how its figures came about. */
function detailsOf({ description }: PanelInfo, drawn: LastFrame | undefined): string {
  const { approximate, source, requestedStart, start, zone, computedAt } = drawn?.frame.context ?? {};
  const sentences = [description && !/[.!?]$/.test(description) ? `${description}.` : description];
  if (approximate) sentences.push("Distinct counts may be off by up to 1%.");
  if (source === "events") {
    sentences.push(
      "Computed from the events themselves: the rollup does not hold the answer, for example with these filters.",
    );
  }
  if (requestedStart !== undefined && start !== undefined && zone !== undefined && computedAt !== undefined) {
    sentences.push(`What is before ${formatInstant(start, zone, computedAt)} is no longer stored.`);
  }
  return sentences.filter(Boolean).join(" ");
}

/** One panel: title, figures, chart or table, menu, and its faults. All words are about the result that is drawn. */
export const PanelCard = memo(function PanelCard(props: PanelCardProps) {
  const { info, drawn, className = "" } = props;
  return (
    <ErrorBoundary
      resetKey={drawn?.frame}
      fallback={(error, retry) => (
        <section aria-label={info.title} data-panel={info.name} data-state="failed" className={`card ${className}`}>
          <h2 className="mb-2 truncate text-sm font-medium">{info.title}</h2>
          <Failure reason={`This panel could not be drawn.\n${error.message}`} onRetry={retry} />
        </section>
      )}
    >
      <CardContent {...props} />
    </ErrorBoundary>
  );
});

function CardContent(props: PanelCardProps) {
  const { info, drawn, state, serverNow = state.since, onRetry, onEnlarge, extra, menuItems } = props;
  const { notFiltered = false, notCompared = false, className = "" } = props;
  const element = useRef<HTMLElement>(null);
  const [describing, setDescribing] = useState(false);
  const titleId = useId();
  const descriptionId = useId();
  const card = cardState(info, drawn, state, serverNow);
  const details = detailsOf(info, drawn);
  const actions = usePanelActions({ info, drawn, state, card, element, onEnlarge });
  const { asTable } = actions;

  return (
    <section
      ref={element}
      aria-labelledby={titleId}
      aria-busy={card.body === "loading" || card.placeholder !== ""}
      data-panel={info.name}
      data-state={state.status}
      data-placeholder={drawn?.placeholder ? "" : undefined}
      className={`card @container ${className}`}
    >
      <header className="mb-1 flex min-h-9 min-w-0 items-center gap-x-2 gap-y-1 @max-2xs:flex-wrap">
        <h2 id={titleId} className="line-clamp-2 min-w-0 text-sm font-medium @max-2xs:flex-1" title={info.title}>
          {info.title}
        </h2>
        {details && (
          <button
            type="button"
            className="icon-button size-6 shrink-0"
            aria-expanded={describing}
            aria-controls={descriptionId}
            aria-label={`About ${info.title}`}
            onClick={() => setDescribing(!describing)}
          >
            <svg
              viewBox="0 0 16 16"
              className="size-4"
              fill="none"
              stroke="currentColor"
              strokeWidth="1.4"
              aria-hidden="true"
            >
              <circle cx="8" cy="8" r="6.3" />
              <path d="M8 7.2v3.8M8 4.9v.1" strokeLinecap="round" />
            </svg>
          </button>
        )}
        <span className="flex-1 @max-2xs:hidden" />
        <Tags
          drawn={drawn}
          card={card}
          notFiltered={notFiltered}
          notCompared={notCompared}
          onCompare={props.onCompare}
        />
        {extra}
        {actions.menu(menuItems)}
      </header>
      <p id={descriptionId} hidden={!describing} className="mb-2 text-sm text-muted">
        {details}
      </p>
      <Body
        info={info}
        drawn={drawn}
        state={state}
        card={card}
        asTable={asTable}
        large={onEnlarge === undefined}
        onRetry={onRetry}
      />
      {actions.popups}
    </section>
  );
}
