// Questions to start with, made of the project's own events.

import { DAY } from "../../lib/time.ts";
import type { Preset, Range } from "../../query/range.ts";
import { useEventNames } from "../../shell/pickers/pickers.tsx";
import { Button } from "../../ui/Button.tsx";
import { EmptyState, Skeleton } from "../../ui/placeholders.tsx";
import { funnelOf, type Question, retentionOf, seriesOf, trendOf } from "./question.ts";
import { asRate } from "./rate.ts";
import { type Starter, starters } from "./starters.ts";
import { words } from "./strings.ts";
import { questionWords } from "./words.ts";

interface Props {
  /** With the range that fits the words of the question, if the present one does not. */
  onQuestion: (question: Question, range?: Preset) => void;
  range: Range;
}

/** Presets that have several days, which a chart by day needs. */
const OF_DAYS: Range[] = ["7d", "30d", "90d", "this-month"];

const hasDays = (range: Range): boolean =>
  typeof range === "string" ? OF_DAYS.includes(range) : (range.to ?? Date.now()) - range.from >= 3 * DAY;

export function Blank({ onQuestion, range }: Props) {
  const { names, failure } = useEventNames();
  if (failure && !names) return <EmptyState title={words.failed}>{failure}</EmptyState>;
  if (!names) {
    return (
      <div className="explore-blank" aria-busy="true">
        <Skeleton className="h-8 w-60" />
        <Skeleton className="h-32 w-full" />
      </div>
    );
  }
  if (names.length === 0) {
    return (
      <EmptyState
        title={words.noEventsYet}
        action={
          <a className="ui-button ui-button-primary" href={new URL(document.baseURI).pathname}>
            {words.toSetup}
          </a>
        }
      >
        {words.noEventsHint}
      </EmptyState>
    );
  }
  return (
    <section className="explore-blank" aria-label={words.blankTitle}>
      <div className="flex flex-col gap-1">
        <h2 className="text-base font-semibold">{words.blankTitle}</h2>
        <p className="text-muted">{words.blankHint}</p>
      </div>
      <ul className="explore-starters">
        {starters(names).map((starter) => (
          <li key={starter.kind}>
            <button
              type="button"
              className="explore-starter card"
              onClick={() =>
                onQuestion(questionOf(starter), starter.kind === "trend" && !hasDays(range) ? "7d" : undefined)
              }
            >
              <span className="text-xs text-muted">
                {words.kinds[starter.kind === "rate" ? "trend" : starter.kind].name}
              </span>
              <span className="text-base font-medium">{titleOf(starter)}</span>
              <span className="text-xs text-muted">{hintOf(starter)}</span>
            </button>
          </li>
        ))}
      </ul>
      <Button className="self-start" icon="plus" onClick={() => onQuestion(trendOf([seriesOf(names[0]?.name ?? "")]))}>
        {words.blankOwn}
      </Button>
    </section>
  );
}

function questionOf(starter: Starter): Question {
  switch (starter.kind) {
    case "trend":
      return { ...trendOf([seriesOf(starter.event)]), chart: "bar", bucket: "day" };
    case "rate":
      return asRate(trendOf([seriesOf(starter.event)]));
    case "funnel":
      return funnelOf([starter.event, starter.to]);
    case "retention":
      return { ...retentionOf(starter.event, starter.event), period: "day", recurring: true };
  }
}

function titleOf(starter: Starter): string {
  if (starter.kind === "funnel") return words.starters.funnel(starter.event, starter.to);
  return words.starters[starter.kind](starter.event);
}

const hintOf = (starter: Starter): string =>
  starter.kind === "rate" ? questionWords(questionOf(starter)) : words.starters[`${starter.kind}Hint`];
