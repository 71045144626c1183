// The result of the question: chart, figures, what it cost, and each state in which there is none.

import { type RefObject, Suspense, useEffect, useState } from "react";
import { isEmpty } from "../../charts/chartForm.ts";
import { PickProvider } from "../../charts/pick.tsx";
import type { Frame } from "../../frame/frame.ts";
import type { Pick } from "../../frame/pick.ts";
import { spanWords } from "../../frame/words.ts";
import { lazyPart } from "../../lazyPart.ts";
import { formatBytes, formatCount, formatDuration, formatFixed } from "../../lib/format.ts";
import type { Selection } from "../../query/query.ts";
import { queryKey } from "../../query/query.ts";
import { PRESETS, type Preset, rangeWords } from "../../query/range.ts";
import { useFrozen } from "../../shell/pause.tsx";
import type { View } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { NoRows } from "./NoRows.tsx";
import { PathsResult } from "./PathsResult.tsx";
import { People } from "./People.tsx";
import { type Question, withValue } from "./question.ts";
import { RetentionResult } from "./RetentionResult.tsx";
import { words } from "./strings.ts";
import { TrendResult } from "./TrendResult.tsx";
import type { Answer, AnswerState } from "./useAnswer.tsx";
import type { Problems } from "./validate.ts";

const FunnelResult = lazyPart(() => import("./FunnelResult.tsx"));

interface Props {
  ref: RefObject<HTMLElement | null>;
  question: Question;
  problems: Problems;
  state: AnswerState;
  selection: Selection;
  onQuestion: (question: Question) => void;
  onView: (change: Partial<View>) => void;
}

/** What every kind of result gets. */
export interface ResultProps<Q extends Question> {
  question: Q;
  answer: Answer;
  frame: Frame;
  /** Identifies the query: another one is drawn at once. */
  frameKey: string;
  onQuestion: (question: Question) => void;
  onPeople: (pick: Pick, label: string) => void;
}

export function Result({ ref, question, problems, state, selection, onQuestion, onView }: Props) {
  const { current, running, cancelled, failure } = state;
  const [figure, setFigure] = useState<{ pick: Pick; label: string; answer: Answer }>();
  const answer = useFrozen(state.answer, state.answer?.key ?? "", current, false);
  const incomplete = problems.size > 0;
  useEffect(() => {
    // While the funnel is computed.
    if (question.kind === "funnel") FunnelResult.preload();
  }, [question.kind]);
  // The answer to another kind of question says nothing about this one.
  const shown = answer && answer.question.kind === question.kind ? answer : undefined;
  return (
    <section
      ref={ref}
      aria-label={words.result}
      className="explore-result card"
      data-state={stateName(state, incomplete)}
    >
      <div className="explore-bar" aria-hidden={!running} data-running={running || undefined} />
      {running && <Running startedAt={state.startedAt} onCancel={state.cancel} />}
      {failure && !running ? (
        <Failed reason={failure.reason} retry={state.retry} selection={selection} onView={onView} />
      ) : incomplete ? (
        <EmptyState title={words.fixFirst}>
          <ul className="flex flex-col gap-1">
            {[...new Set(problems.values())].slice(0, 5).map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
        </EmptyState>
      ) : cancelled ? (
        <EmptyState title={words.cancelled} action={<Button onClick={state.retry}>{words.run}</Button>}>
          {words.cancelledHint}
        </EmptyState>
      ) : shown ? (
        <div
          className="flex min-h-0 flex-1 flex-col gap-3"
          // The figures belong to the question before.
          data-dimmed={current ? undefined : ""}
          inert={!current || undefined}
        >
          <Shown
            answer={shown}
            onQuestion={onQuestion}
            onPeople={(pick, label) => setFigure({ pick, label, answer: shown })}
            current={question}
            selection={selection}
            onView={onView}
          />
        </div>
      ) : (
        <Loading />
      )}
      {shown && !incomplete && !failure && !cancelled && <Foot state={state} frame={shown.frame} />}
      {figure && <People {...figure} onClose={() => setFigure(undefined)} />}
    </section>
  );
}

const Loading = () => (
  <div className="explore-loading" aria-hidden="true">
    <div className="ui-skeleton h-64 w-full" />
    <div className="ui-skeleton h-8 w-full" />
    <div className="ui-skeleton h-8 w-full" />
  </div>
);

function stateName({ running, failure, cancelled, current }: AnswerState, incomplete: boolean): string {
  if (running) return "running";
  if (failure) return "failed";
  if (incomplete) return "incomplete";
  return cancelled ? "cancelled" : current ? "done" : "blank";
}

interface ShownProps {
  answer: Answer;
  /** Its chart may have been changed since, which needs no new answer. */
  current: Question;
  selection: Selection;
  onQuestion: (question: Question) => void;
  onPeople: (pick: Pick, label: string) => void;
  onView: (change: Partial<View>) => void;
}

function Shown({ answer, current, selection, onQuestion, onPeople, onView }: ShownProps) {
  const { frame, question, query } = answer;
  const key = queryKey(query);
  const drawn = withValue(question, "chart", current.chart);
  const common = { answer, frame, frameKey: key, onQuestion, onPeople };
  if (isEmpty("table", frame)) {
    return <NoRows question={question} answer={answer} selection={selection} onQuestion={onQuestion} onView={onView} />;
  }
  return (
    <PickProvider onPick={onPeople}>
      <Suspense fallback={<Loading />}>{resultOf()}</Suspense>
    </PickProvider>
  );

  function resultOf() {
    switch (drawn.kind) {
      case "trend":
        return <TrendResult {...common} question={drawn} />;
      case "funnel":
        return (
          <FunnelResult {...common} question={drawn} selection={selection} onRange={(range) => onView({ range })} />
        );
      case "retention":
        return <RetentionResult {...common} question={drawn} />;
      case "paths":
        return <PathsResult {...common} question={drawn} />;
    }
  }
}

/** Before it, nothing is said: most questions are computed sooner. */
const QUIET_MS = 400;

function Running({ startedAt, onCancel }: { startedAt: number; onCancel: () => void }) {
  const [elapsed, setElapsed] = useState(0);
  useEffect(() => {
    const update = () => setElapsed(Date.now() - startedAt);
    update();
    const timer = setInterval(update, 200);
    return () => clearInterval(timer);
  }, [startedAt]);
  if (elapsed < QUIET_MS) return null;
  return (
    <div className="explore-running" role="status">
      <span className="ui-spinner" aria-hidden="true" />
      <span>{words.running}</span>
      <span className="text-muted" aria-hidden="true">
        {words.elapsed(formatFixed(elapsed / 1000, 1))}
      </span>
      <Button className="explore-small" onClick={onCancel}>
        {words.cancel}
      </Button>
    </div>
  );
}

const BUDGET = /would read|too many rows|budget|narrow|memory|longer than/i;

interface FailedProps {
  reason: string;
  retry: () => void;
  selection: Selection;
  onView: (change: Partial<View>) => void;
}

/** Presets by length. */
const SHORTER: Partial<Record<Preset, Preset>> = {
  "90d": "7d",
  "30d": "24h",
  "this-month": "24h",
  "7d": "24h",
  "this-week": "today",
  "24h": "1h",
  today: "1h",
};

function Failed({ reason, retry, selection: { range, zone }, onView }: FailedProps) {
  const overBudget = BUDGET.test(reason);
  const shorter = typeof range === "string" ? SHORTER[range] : PRESETS[2];
  return (
    <EmptyState
      title={overBudget ? words.overBudget : words.failed}
      action={
        <div className="flex flex-wrap justify-center gap-2">
          {overBudget && shorter && (
            <Button kind="primary" onClick={() => onView({ range: shorter })}>
              {words.shorter(rangeWords(shorter, zone, Date.now()))}
            </Button>
          )}
          <Button onClick={retry}>{words.retry}</Button>
        </div>
      }
    >
      <p>{reason.charAt(0).toUpperCase() + reason.slice(1)}</p>
      {overBudget && <p className="mt-2">{words.narrow}</p>}
    </EmptyState>
  );
}

/** "184 ms · 40,321 rows read · from the rollup · approximate", and how often it is recomputed. */
function Foot({ state, frame }: { state: AnswerState; frame: Frame }) {
  const { cost, context } = frame;
  const source = cost?.source ?? context.source;
  const interval = cost?.minIntervalMs;
  return (
    <footer className="explore-foot">
      {cost && (
        <span title={words.costHint(formatBytes(cost.bytesRead))}>
          {words.cost(formatDuration(cost.elapsedMs), formatCount(cost.rowsRead))}
        </span>
      )}
      {source && <span title={words.sourceHints[source]}>{words.sources[source]}</span>}
      {context.approximate && <span title={words.approximateHint}>{words.approximate}</span>}
      {interval !== undefined && interval > 1500 && (
        <span title={words.sourceHints.events}>{words.interval(formatDuration(interval))}</span>
      )}
      {state.staleReason && (
        <span className="text-warn" role="status">
          {words.stale(state.staleReason)}
        </span>
      )}
      <span className="sr-only">{spanWords(context)}</span>
    </footer>
  );
}
