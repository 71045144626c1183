// "For whom did it change?": the funnel by each property, compared with the period before.

import { useEffect, useState } from "react";
import { type Failure, toFailure } from "../../api/errors.ts";
import { REST_VALUE } from "../../frame/columns.ts";
import type { FunnelDetail } from "../../frame/detail.ts";
import { formatCount } from "../../lib/format.ts";
import { clockOrInstant } from "../../lib/time.ts";
import type { Compare } from "../../query/query.ts";
import type { Interval, Range } from "../../query/range.ts";
import { Button } from "../../ui/Button.tsx";
import { Spinner } from "../../ui/placeholders.tsx";
import { type Change, certainty, changesOf, type FunnelRow, funnelRows } from "./funnelRows.ts";
import { Points } from "./Points.tsx";
import { useProperties } from "./pickers.tsx";
import type { Funnel, Group, Item } from "./question.ts";
import { earlierSelection, pctWords, points } from "./result.ts";
import { changedSince, type Since } from "./since.ts";
import { words } from "./strings.ts";
import { type Answer, compute, questionQuery } from "./useAnswer.tsx";
import { fieldWords } from "./words.ts";

/** Values of these are never many of one kind. */
const IDENTIFIERS = new Set(["event_name", "session_id", "user_id"]);
/** Each is a query of its own and one of the period before. */
const MAX_FIELDS = 8;

interface Props {
  question: Funnel;
  answer: Answer;
  compare: Compare | undefined;
  onQuestion: (question: Funnel) => void;
  onRange: (range: Interval) => void;
}

/** The conversion of everyone, or of a value, is another one since then. */
interface Begun extends Since {
  field: string;
  row: FunnelRow;
}

interface Search {
  since: Begun[];
  /** The whole funnel in both periods. */
  overall?: FunnelRow;
  done: number;
  all: number;
  changes: Change[];
  failure?: Failure;
}

export function Changes({ question, answer, compare = "previous", onQuestion, onRange }: Props) {
  const properties = useProperties(question.steps[0]?.event ?? "");
  const [started, setStarted] = useState<string>();
  const [search, setSearch] = useState<Search>();
  const fields = (properties ?? [])
    .filter(({ field, ofEvent, isOwn }) => (ofEvent || isOwn) && !IDENTIFIERS.has(field))
    .map(({ field }) => field)
    .slice(0, MAX_FIELDS);
  const open = started === answer.key;
  // biome-ignore lint/correctness/useExhaustiveDependencies: started once for a question, with the properties of then
  useEffect(() => {
    if (!open) return;
    const controller = new AbortController();
    const { context } = answer.frame;
    const run = async () => {
      let changes: Change[] = [];
      let overall: FunnelRow | undefined;
      let since: Begun[] = [];
      setSearch({ done: 0, all: fields.length, changes, since });
      for (const [index, field] of fields.entries()) {
        const asked: Funnel = { ...question, by: field, top: 20 };
        const selection = { range: answer.query.range, zone: answer.query.zone, filters: answer.query.filters };
        const [now, before] = await Promise.all([
          compute(questionQuery(asked, selection), controller.signal),
          compute(questionQuery(asked, earlierSelection(selection, context, compare)), controller.signal),
        ]);
        const [detail, earlier] = [now.detail as FunnelDetail, before.detail as FunnelDetail];
        const rows = funnelRows(detail, earlier);
        overall ??= rows[0];
        // What everyone has is said once.
        since = [...since, ...rows.flatMap((row): Begun[] => begun(row.isAll ? "" : field, row, context.computedAt))]
          .filter(({ row }, at, list) => !row.isAll || list.findIndex((other) => other.row.isAll) === at)
          .sort((a, b) => a.afterPct - a.beforePct - (b.afterPct - b.beforePct));
        changes = [...changes, ...changesOf(field, detail, earlier)].sort((a, b) => a.change - b.change).slice(0, 50);
        if (controller.signal.aborted) return;
        setSearch({ overall, done: index + 1, all: fields.length, changes, since });
      }
    };
    run().catch((error) => {
      if (!controller.signal.aborted) setSearch((before) => before && { ...before, failure: toFailure(error) });
    });
    return () => controller.abort();
  }, [open]);

  if (fields.length === 0) return null;
  if (!open) {
    return (
      <Button className="self-start" icon="search" title={words.findWhyHint} onClick={() => setStarted(answer.key)}>
        {words.findWhy}
      </Button>
    );
  }
  if (!search) return null;
  const { overall, done, all, changes, failure, since } = search;
  const { zone, computedAt } = answer.frame.context;
  const shown = mostChanged(changes);
  return (
    <section aria-label={words.changes} className="explore-changes">
      <h3 className="flex items-center gap-2 font-medium">
        {words.changes}
        <span className="font-normal text-muted">vs {words.versus[compare]}</span>
      </h3>
      {failure && <p className="text-danger">{failure.reason}</p>}
      {done < all && !failure && (
        <p className="flex items-center gap-2 text-xs text-muted">
          <Spinner /> {words.finding(done, all)}
        </p>
      )}
      <ul className="flex flex-col">
        {overall?.result.steps.map((step, index) => {
          const change = points(step.fromPreviousPct, overall.earlier?.steps[index]?.fromPreviousPct);
          if (index === 0 || change === null) return null;
          const each = { field: "", row: overall, step: index, change, deviation: 0 };
          // biome-ignore lint/suspicious/noArrayIndexKey: steps have no identity but their number
          return <ChangeRow key={index} each={each} question={question} onQuestion={onQuestion} />;
        })}
        {shown.map((each) => (
          <ChangeRow
            key={`${each.field} ${each.row.key} ${each.step}`}
            each={each}
            question={question}
            onQuestion={onQuestion}
          />
        ))}
      </ul>
      {since.length > 0 && (
        <ul className="flex flex-col">
          {since.slice(0, SINCE_SHOWN).map((each) => {
            const clock = clockOrInstant(each.at, zone, computedAt);
            return (
              <li key={`${each.field} ${each.row.key}`} className="explore-change">
                <Points change={each.afterPct - each.beforePct} of="certain" />
                <span className="min-w-0 flex-1">
                  {each.field !== "" && <span className="text-muted">{fieldWords(each.field)} </span>}
                  <strong className="font-medium">{each.row.label}</strong>{" "}
                  <span className="text-muted">
                    {words.since(clock, pctWords(each.beforePct), pctWords(each.afterPct))}
                  </span>
                </span>
                <Narrow each={each} question={question} onQuestion={onQuestion} />
                <Button className="explore-small" onClick={() => onRange(rangeSince(each.at, answer.query.range))}>
                  {words.fromThen(clock)}
                </Button>
              </li>
            );
          })}
        </ul>
      )}
      {done === all && changes.length === 0 && since.length === 0 && <p className="text-muted">{words.noChanges}</p>}
      <p className="text-xs text-muted">{words.explained}</p>
    </section>
  );
}

const SHOWN = 6;
const SINCE_SHOWN = 4;

function begun(field: string, row: FunnelRow, now: number): Begun[] {
  const since = changedSince(row.result, now);
  return since ? [{ ...since, field, row }] : [];
}

/** Up to the end of the range, if that has one. */
const rangeSince = (from: number, range: Range): Interval =>
  typeof range !== "string" && range.to !== undefined ? { from, to: range.to } : { from };

/** The condition that leaves only one value. */
function onlyValue(where: Group, field: string, value: string): Group {
  const item: Item = { type: "field", not: false, field, op: "is", values: [value] };
  if (where.match === "all") return { match: "all", items: [...where.items, item] };
  return { match: "all", items: [{ type: "group", not: false, group: where }, item] };
}

interface NarrowProps extends Pick<Props, "question" | "onQuestion"> {
  each: { field: string; row: FunnelRow };
}

function Narrow({ each: { field, row }, question, onQuestion }: NarrowProps) {
  // What has no value, and the rest of the values, have no condition of one value.
  if (field === "" || row.result.value === "" || row.result.value === REST_VALUE) return null;
  const { by, ...rest } = question;
  // Of one value a breakdown by its property has a single line.
  const where = onlyValue(question.where, field, row.result.value);
  return (
    <Button className="explore-small" onClick={() => onQuestion({ ...rest, by: by === field ? "" : by, where })}>
      {words.filterTo(row.label)}
    </Button>
  );
}

/** The falls first, then the rises. */
function mostChanged(changes: Change[]): Change[] {
  const falls = changes.filter(({ change }) => change < 0).slice(0, SHOWN);
  const rises = changes.filter(({ change }) => change > 0).slice(-2);
  return [...falls, ...rises.reverse()];
}

function ChangeRow({ each, question, onQuestion }: { each: Change } & Pick<Props, "question" | "onQuestion">) {
  const { field, row, step, change } = each;
  const now = row.result.steps[step];
  const before = row.earlier?.steps[step];
  return (
    <li className="explore-change">
      <Points change={change} of={certainty(row, step)} />
      <span className="min-w-0 flex-1">
        {field !== "" && <span className="text-muted">{fieldWords(field)} </span>}
        <strong className="font-medium">{row.label}</strong>{" "}
        <span className="text-muted">
          → {question.steps[step]?.event}: {pctWords(before?.fromPreviousPct)} → {pctWords(now?.fromPreviousPct)} (
          {formatCount(row.result.steps[step - 1]?.count ?? 0)})
        </span>
      </span>
      <Narrow each={each} question={question} onQuestion={onQuestion} />
      {field !== "" && question.by !== field && (
        <Button className="explore-small" onClick={() => onQuestion({ ...question, by: field })}>
          {words.breakDownBy(fieldWords(field))}
        </Button>
      )}
    </li>
  );
}
