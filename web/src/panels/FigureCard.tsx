import { memo, useId, useRef } from "react";
import { BigFigure } from "../charts/BigFigure.tsx";
import { keyFigure } from "../charts/keyFigure.ts";
import { Sparkline } from "../charts/Sparkline.tsx";
import { figureText } from "../frame/cellText.ts";
import type { Frame } from "../frame/frame.ts";
import { isInlineUnit } from "../lib/format.ts";
import { ErrorBoundary } from "../ui/ErrorBoundary.tsx";
import { Icon } from "../ui/icons.tsx";
import { cardState, splitReason } from "./cardState.ts";
import { ComparisonChip } from "./FiguresRow.tsx";
import type { PanelCardProps } from "./PanelCard.tsx";
import { usePanelActions } from "./panelActions.tsx";

export interface FigureCardProps
  extends Pick<
    PanelCardProps,
    "info" | "drawn" | "state" | "serverNow" | "onRetry" | "onEnlarge" | "menuItems" | "className"
  > {
  /** Makes it the main chart. Absent if that makes no sense. */
  onChoose?: () => void;
  /** It is the main chart. */
  chosen?: boolean;
  /** It is the only place where the panel is. */
  alone?: boolean;
}

/** A panel as one figure: its name, the figure, the change, its course. */
export const FigureCard = memo(function FigureCard(props: FigureCardProps) {
  return (
    <ErrorBoundary
      resetKey={props.drawn?.frame}
      fallback={(error, retry) => (
        <section
          aria-label={props.info.title}
          data-state="failed"
          className={`card figure-card ${props.className ?? ""}`}
        >
          <h2 className="truncate text-xs text-muted">{props.info.title}</h2>
          <FigureFailure reason={error.message} onRetry={retry} />
        </section>
      )}
    >
      <Content {...props} />
    </ErrorBoundary>
  );
});

function Content(props: FigureCardProps) {
  const { info, drawn, state, serverNow = state.since, onRetry, onEnlarge, menuItems } = props;
  const { onChoose, chosen = false, alone = false, className = "" } = props;
  const element = useRef<HTMLDivElement>(null);
  const titleId = useId();
  const card = cardState(info, drawn, state, serverNow);
  const actions = usePanelActions({ info, drawn, state, card, element, onEnlarge, isFigure: true });
  const note = card.asOf || card.placeholder;
  const span = ownSpan(info.title, drawn?.frame);
  return (
    // biome-ignore lint/a11y/useAriaPropsSupportedByRole: both roles have a name
    <div
      ref={element}
      // The card of the same panel is the region of its name.
      role={alone ? "region" : "group"}
      aria-labelledby={titleId}
      aria-busy={card.body === "loading" || card.placeholder !== ""}
      data-key-figure={info.name}
      data-panel={alone ? info.name : undefined}
      data-state={state.status}
      data-placeholder={drawn?.placeholder ? "" : undefined}
      data-chosen={chosen ? "" : undefined}
      className={`card figure-card @container ${className}`}
    >
      <header className="flex min-w-0 items-center gap-1">
        <h2
          id={titleId}
          className="line-clamp-2 min-w-0 flex-1 text-xs leading-tight font-medium text-muted"
          title={info.title}
        >
          {onChoose ? (
            <button type="button" className="figure-choose" aria-pressed={chosen} onClick={onChoose}>
              {info.title}
            </button>
          ) : (
            info.title
          )}
        </h2>
        {span && !note && <span className="shrink-0 text-xs whitespace-nowrap text-muted">{span}</span>}
        {alone && <span className="figure-menu">{actions.menu(menuItems)}</span>}
      </header>
      {card.body === "failed" ? (
        <FigureFailure reason={state.reason ?? ""} onRetry={onRetry} />
      ) : drawn ? (
        <Figure frame={drawn.frame} dimmed={card.dimmed} note={note} isOld={card.asOf !== ""} />
      ) : (
        <div className="flex flex-1 flex-col gap-3 pt-1" role="status" aria-label={`${info.title} is loading`}>
          <div className="skeleton h-7 w-20" />
          {info.chart !== "number" && <div className="skeleton h-6" />}
        </div>
      )}
      {actions.popups}
    </div>
  );
}

/** The panel's own span, unless its words say so already. */
function ownSpan(title: string, frame: Frame | undefined): string {
  const span = frame?.context.span ?? "";
  const words = `${title} ${frame?.figures[0]?.label ?? ""}`.toLowerCase();
  return words.includes(span.toLowerCase()) ? "" : span;
}

/** In rem: what the change beside a figure takes. */
const CHIP_WIDTH = 5.5;

interface FigureProps {
  frame: Frame;
  dimmed: boolean;
  /** Of which time or range the figures are, if not of what is selected. */
  note: string;
  isOld: boolean;
}

function Figure({ frame, dimmed, note, isOld }: FigureProps) {
  const { figure, comparison, others, spark } = keyFigure(frame);
  if (!figure) return <p className="my-auto text-xs text-muted">No data</p>;
  const rest = others.filter((other) => other !== figure).map((other) => `${figureText(other, frame)} ${other.label}`);
  return (
    <div className="flex min-h-0 flex-1 flex-col" data-dimmed={dimmed ? "" : undefined}>
      <div className="flex min-w-0 flex-wrap items-baseline gap-x-1">
        <span className="flex max-w-full items-baseline gap-1">
          {frame.context.approximate && (
            <span
              role="img"
              aria-label="approximately"
              title="Distinct counts may be off by up to 1%"
              className="text-muted"
            >
              ≈
            </span>
          )}
          <BigFigure figure={figure} frame={frame} size={1.75} beside={comparison ? CHIP_WIDTH : 0} dimmed={dimmed} />
        </span>
        {comparison && <ComparisonChip comparison={comparison} unit={figure.unit} short />}
      </div>
      <p className="line-clamp-2 shrink-0 text-xs leading-tight text-muted" title={figure.label}>
        {figure.label || (isInlineUnit(figure.unit) ? "\u00a0" : figure.unit)}
      </p>
      <div className="mt-auto pt-1">
        {note ? (
          <p data-as-of={isOld ? "" : undefined} className="line-clamp-2 text-xs leading-tight text-warn">
            {note}
          </p>
        ) : spark.length > 1 ? (
          <Sparkline points={spark} />
        ) : (
          rest.length > 0 && (
            <p className="line-clamp-2 text-xs leading-tight text-muted" title={rest.join(" · ")}>
              {rest.join(" · ")}
            </p>
          )
        )}
      </div>
    </div>
  );
}

function FigureFailure({ reason, onRetry }: { reason: string; onRetry: () => void }) {
  const { summary } = splitReason(reason);
  return (
    <div data-failure="" className="relative z-1 flex min-h-0 flex-1 flex-col items-start gap-1 text-xs">
      <p className="line-clamp-2 text-ink" title={reason}>
        <Icon name="warning" className="mr-1 inline size-3.5! text-warn" />
        {summary}
      </p>
      <button type="button" className="underline underline-offset-2" onClick={onRetry}>
        Retry
      </button>
    </div>
  );
}
