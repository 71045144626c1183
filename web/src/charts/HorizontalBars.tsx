import { type CSSProperties, useMemo } from "react";
import type { Frame } from "../frame/frame.ts";
import { type RankingBar, type RankingMeasure, toRanking } from "../frame/ranking.ts";
import { rankingSummary } from "../frame/summaries.ts";
import { restWords } from "../frame/words.ts";
import { drawnFrame } from "./drawnFrame.ts";
import { MeasureLegend, NotShown, RestNote } from "./RankingNotes.tsx";
import { useValueFilter, ValueButton } from "./valueFilter.tsx";
import "./horizontalBars.css";

interface Props {
  frame: Frame;
  title: string;
  /** How many bars are drawn. */
  top: number;
}

/** So many characters of the end of a name stay visible: URLs and file names differ there. */
const NAME_END = 14;

/** A name with its middle cut out if it is too long. The whole name is in the text and in the title. */
export function MiddleCut({ text }: { text: string }) {
  const characters = [...text];
  const split = characters.length > 2 * NAME_END ? characters.length - NAME_END : characters.length;
  return (
    <span className="flex min-w-0" title={text}>
      <span className="truncate whitespace-pre">{characters.slice(0, split).join("")}</span>
      {split < characters.length && <span className="shrink-0 whitespace-pre">{characters.slice(split).join("")}</span>}
    </span>
  );
}

/** Left edge and width in percent. Bars of negative values end at the zero line. */
export function barExtent(value: number | null, { min, max }: Pick<RankingMeasure, "min" | "max">): [number, number] {
  const span = max - min;
  if (value === null || span <= 0) return [0, 0];
  const clamped = Math.max(min, Math.min(max, value));
  const zero = (100 * -min) / span;
  const end = (100 * (clamped - min)) / span;
  return [Math.min(zero, end), Math.abs(end - zero)];
}

interface BarProps {
  bar: RankingBar;
  measures: RankingMeasure[];
  /** What the value "(other)" is. */
  rest: string;
  onFilter: (() => void) | undefined;
}

function Bar({ bar, measures, rest, onFilter }: BarProps) {
  const single = measures.length === 1;
  const muted = bar.isOther || bar.isRest;
  return (
    <li
      className="min-w-0"
      data-rest={bar.isRest ? "" : undefined}
      title={[bar.isRest ? rest : "", ...bar.details].filter(Boolean).join(" · ") || undefined}
    >
      <div className="flex items-baseline gap-3 text-sm leading-5">
        <span className={`flex min-w-0 flex-1 ${muted ? "text-muted" : ""}`}>
          <ValueButton label={bar.label} onClick={onFilter}>
            <MiddleCut text={bar.label} />
          </ValueButton>
        </span>
        {single && <span className="shrink-0 font-medium tabular-nums">{bar.texts[0]}</span>}
      </div>
      {measures.map((measure, index) => {
        const value = bar.values[index] ?? null;
        const [left, width] = barExtent(value, measure);
        // The sum of the others has no bar: it is not on the scale of the single values.
        const drawn = !bar.isOther && value !== null;
        return (
          <div key={measure.key} className="flex items-center gap-3">
            <div className="ranking-bar relative mt-1 h-1.5 min-w-0 flex-1 overflow-hidden rounded-full bg-sunken in-data-dimmed:opacity-60">
              {drawn && (
                <div
                  className="absolute inset-y-0 min-w-0.5 rounded-full"
                  style={{
                    left: `${left}%`,
                    width: `${width}%`,
                    background: `var(${bar.isRest ? "--other" : measure.color})`,
                  }}
                />
              )}
              {measure.min < 0 && (
                <div
                  className="absolute inset-y-0 w-px bg-line-strong"
                  style={{ left: `${barExtent(measure.max, measure)[0]}%` }}
                />
              )}
            </div>
            {!single && (
              <span className="ranking-value w-20 shrink-0 text-right text-xs tabular-nums">{bar.texts[index]}</span>
            )}
          </div>
        );
      })}
    </li>
  );
}

/** Bars as HTML: names over their bars, at full width, with values at the right. */
export default function HorizontalBars({ frame: result, title, top }: Props) {
  const frame = useMemo(() => drawnFrame("horizontal-bar", result), [result]);
  const ranking = useMemo(() => toRanking(frame, { top }), [frame, top]);
  const filterBy = useValueFilter();
  if (!ranking) return null;
  const { measures, bars, notShown } = ranking;
  return (
    <div className="flex min-h-0 w-full flex-1 flex-col gap-2">
      <MeasureLegend measures={measures} />
      <section
        aria-label={rankingSummary(title, frame, ranking)}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
        tabIndex={0}
        className="ranking-bars min-h-0 flex-1 overflow-y-auto pr-1 pb-5 [mask-image:linear-gradient(to_bottom,black_calc(100%-1.5rem),transparent)] [scrollbar-width:thin]"
      >
        <ul
          className="flex flex-col gap-2 in-data-dimmed:text-muted"
          style={{ "--rows": bars.length, "--measures": measures.length } as CSSProperties}
        >
          {bars.map((bar) => (
            <Bar key={bar.key} bar={bar} measures={measures} rest={restWords(frame)} onFilter={filterBy(bar.value)} />
          ))}
        </ul>
      </section>
      {bars.some(({ isRest }) => isRest) && <RestNote frame={frame} />}
      <NotShown count={notShown} />
    </div>
  );
}
