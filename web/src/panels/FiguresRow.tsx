import { BigFigure } from "../charts/BigFigure.tsx";
import { figureText } from "../frame/cellText.ts";
import type { Comparison, Figure, Frame } from "../frame/frame.ts";
import { comparedText, noChangeWords } from "../frame/words.ts";
import { formatChange, isInlineUnit } from "../lib/format.ts";

/** Neutral colours: whether more is better is not known. */
export function ComparisonChip({ comparison, unit, short }: { comparison: Comparison; unit: string; short?: boolean }) {
  const { changePct, label } = comparison;
  const before = comparedText(comparison, unit);
  const known = changePct !== null;
  // Why there is none is in the details.
  if (short && !known) return null;
  return (
    <span
      title={before ? `${before} ${label}` : label}
      className={`inline-flex max-w-full ${short ? "shrink-0 whitespace-nowrap" : "flex-wrap"} items-center gap-x-1 rounded-md bg-hover px-1.5 py-0.5 text-xs font-medium text-ink tabular-nums`}
    >
      {known && <span aria-hidden="true">{changePct > 0 ? "↑" : changePct < 0 ? "↓" : "→"}</span>}
      {known ? formatChange(changePct) : noChangeWords(comparison)}
      <span className={short ? "sr-only" : "font-normal text-muted"}>{known ? `vs ${label}` : ""}</span>
    </span>
  );
}

interface Props {
  figures: Figure[];
  frame: Frame;
  /** In rem. */
  size: number;
  dimmed: boolean;
  /** Distinct counts may be off by up to 1%. */
  approximate: boolean;
}

/** The lead figure, at the same place on every card, and the others beside it. */
export function FiguresRow({ figures, frame, size, dimmed, approximate }: Props) {
  const [lead, ...others] = figures;
  if (!lead) return null;
  return (
    <div className="@container mb-2 min-w-0">
      <div className="flex min-w-0 flex-wrap items-baseline gap-x-2.5 gap-y-1">
        <span className="flex max-w-full min-w-0 items-baseline gap-1">
          {approximate && (
            <span
              role="img"
              aria-label="approximately"
              title="Distinct counts may be off by up to 1%"
              className="text-muted"
            >
              ≈
            </span>
          )}
          <BigFigure figure={lead} frame={frame} size={size} dimmed={dimmed} />
        </span>
        <span className="min-w-0 text-sm text-muted">{lead.label || (isInlineUnit(lead.unit) ? "" : lead.unit)}</span>
        {lead.comparison && <ComparisonChip comparison={lead.comparison} unit={lead.unit} />}
      </div>
      {others.length > 0 && (
        <dl className="mt-1 flex flex-wrap gap-x-4 gap-y-0.5 text-xs text-muted">
          {others.map((figure) => (
            <div key={figure.label} className="flex min-w-0 flex-wrap items-baseline gap-x-1.5">
              <dt className="order-1">{figure.label}</dt>
              <dd
                className="min-w-0 truncate font-medium text-ink tabular-nums in-data-dimmed:text-muted"
                data-figure=""
                title={figureText(figure, frame)}
              >
                {figureText(figure, frame)}
              </dd>
              {figure.comparison && (
                <dd className="order-2">
                  <ComparisonChip comparison={figure.comparison} unit={figure.unit} />
                </dd>
              )}
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}
