// "For whom did it change?": the funnel by each property, compared with the period before.

import { useEffect, useState } from "react";
import { type Failure, toFailure } from "../../api/errors.ts";
import { REST_VALUE } from "../../frame/columns.ts";
import type { FunnelDetail } from "../../frame/detail.ts";
import { formatCount } from "../../lib/format.ts";
import { clockOrInstant, DAY, formatSpan } from "../../lib/time.ts";
import type { Compare } from "../../query/query.ts";
import type { Interval, Range } from "../../query/range.ts";
import { fieldWords } from "../../shell/pickers/fields.ts";
import { useProperties } from "../../shell/pickers/pickers.tsx";
import { Button } from "../../ui/Button.tsx";
import { Spinner } from "../../ui/placeholders.tsx";
import {
  type Change,
  certainty,
  changesOf,
  concentratedIn,
  type FunnelRow,
  funnelRows,
  smallestChange,
} from "./funnelRows.ts";
import { type FieldValue, onlyValue } from "./narrow.ts";
import { Points } from "./Points.tsx";
import type { Funnel } from "./question.ts";
import { earlierInterval, earlierSelection, pctWords, points } from "./result.ts";
import { changedSince, type Since } from "./since.ts";
import { words } from "./strings.ts";
import { type Answer, compute, questionQuery } from "./useAnswer.tsx";

/** Values of these are never many of one kind. */
const IDENTIFIERS = new Set(["event_name", "session_id", "user_id"]);
/** Each is a query of its own and one of the period before. */
const MAX_FIELDS = 8;

interface Props {
  question: Funnel;
  answer: Answer;
  compare: Compare | undefined;
  onQuestion: (question: Funnel) => void;
  onRange: (range: Range) => void;
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
  /** How many values of the properties were compared. */
  values: number;
  changes: Change[];
  /** Those that come from the surest fall: without its value they are not there. */
  following: { of: FieldValue & { label: string }; changes: Change[] } | undefined;
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
  const key = `${answer.key} ${compare}`;
  const open = started === key;
  // biome-ignore lint/correctness/useExhaustiveDependencies: started once for a question, with the properties of then
  useEffect(() => {
    if (!open) return;
    const controller = new AbortController();
    const { context } = answer.frame;
    const run = async () => {
      let changes: Change[] = [];
      let overall: FunnelRow | undefined;
      let since: Begun[] = [];
      const { range, zone, filters } = answer.query;
      const now = { range, zone, filters };
      const earlierNow = earlierSelection(now, context, compare);
      let following: Search["following"];
      const bothPeriods = async (by: string, of: Funnel) => {
        const asked: Funnel = { ...of, by, top: 20 };
        const frames = [now, earlierNow].map((selection) =>
          compute(questionQuery(asked, selection), controller.signal),
        );
        return (await Promise.all(frames)).map(({ detail }) => detail as FunnelDetail) as [FunnelDetail, FunnelDetail];
      };
      let [done, all, values] = [0, fields.length, 0];
      setSearch({ done, all, values, changes, since, following });
      for (const field of fields) {
        const [detail, earlier] = await bothPeriods(field, question);
        const rows = funnelRows(detail, earlier);
        overall ??= rows[0];
        // What everyone has is said once.
        since = [...since, ...rows.flatMap((row): Begun[] => begun(row.isAll ? "" : field, row, context.computedAt))]
          .filter(({ row }, at, list) => !row.isAll || list.findIndex((other) => other.row.isAll) === at)
          .sort((a, b) => a.afterPct - a.beforePct - (b.afterPct - b.beforePct));
        changes = [...changes, ...changesOf(field, detail, earlier)].sort((a, b) => a.change - b.change).slice(0, 50);
        if (controller.signal.aborted) return;
        done += 1;
        values += rows.filter(({ isAll, earlier }) => !isAll && earlier).length;
        setSearch({ overall, done, all, values, changes, since, following });
      }
      // Whom of the value that fell most surely: those with a value of another property?
      const falls = changes.filter(({ change, row }) => change < 0 && hasCondition(row));
      const worst = falls.toSorted((a, b) => a.deviation - b.deviation)[0];
      if (!worst) return;
      const others = fields.filter((field) => field !== worst.field);
      const worstValue = { field: worst.field, value: worst.row.result.value };
      const explainable = others.filter((field) =>
        changes.some((change) => change.field === field && change.change < 0),
      );
      all += others.length + explainable.length;
      // Which falls come from it: those that are not there without its value.
      for (const field of explainable) {
        const rest = funnelRows(...(await bothPeriods(field, onlyValue(question, worstValue, true))));
        const follows = ({ row, step, change, ...each }: Change) => {
          const other = rest.find(({ key }) => key === row.key);
          return each.field === field && change < 0 && (!other || certainty(other, step) !== "certain");
        };
        following = {
          of: { ...worstValue, label: worst.row.label },
          changes: [...(following?.changes ?? []), ...changes.filter(follows)],
        };
        changes = changes.filter((change) => !follows(change));
        if (controller.signal.aborted) return;
        done += 1;
        setSearch({ overall, done, all, values, changes, since, following });
      }
      const within: Change[] = [];
      for (const field of others) {
        const [detail, earlier] = await bothPeriods(field, onlyValue(question, worstValue));
        const change = concentratedIn(field, detail, earlier, worst.step);
        if (change) within.push({ ...change, within: worst });
        if (controller.signal.aborted) return;
        done += 1;
        setSearch({ overall, done, all, values, changes: [...changes, ...within], since, following });
      }
    };
    run().catch((error) => {
      if (!controller.signal.aborted) setSearch((before) => before && { ...before, failure: toFailure(error) });
    });
    return () => controller.abort();
  }, [open, key]);

  if (fields.length === 0) return null;
  if (!open) {
    return (
      <Button className="self-start" icon="search" title={words.findWhyHint} onClick={() => setStarted(key)}>
        {words.findWhy}
      </Button>
    );
  }
  if (!search) return null;
  const { overall, done, all, values, changes, failure, since, following } = search;
  const { start, end, zone, computedAt } = answer.frame.context;
  const earlier = earlierInterval(answer.frame.context, compare, answer.query.range);
  const follows = ({ field, row }: Begun) =>
    following?.changes.some((change) => change.field === field && change.row.key === row.key);
  const begunShown = since.filter((each) => !follows(each));
  const shown = [...changes.filter(({ within }) => within), ...mostChanged(changes.filter(({ within }) => !within))];
  return (
    <section aria-label={words.changes} className="explore-changes">
      <h3 className="font-medium">{words.changes}</h3>
      {failure && <p className="text-danger">{failure.reason}</p>}
      {done < all && !failure && (
        <p className="flex items-center gap-2 text-xs text-muted">
          <Spinner /> {words.finding(done, all)}
        </p>
      )}
      {begunShown.length > 0 && (
        <ul aria-label={words.sinceWhen} className="flex flex-col">
          <li className="text-xs text-muted">{words.sinceWhen}</li>
          {begunShown.slice(0, SINCE_SHOWN).map((each) => {
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
      <p className="text-xs text-muted">
        {words.comparedPeriods(
          formatSpan(earlier.from, earlier.to, zone, computedAt),
          formatSpan(start, Math.min(end, computedAt || end), zone, computedAt),
        )}
      </p>
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
            key={`${each.within?.row.key} ${each.field} ${each.row.key} ${each.step}`}
            each={each}
            question={question}
            onQuestion={onQuestion}
          />
        ))}
      </ul>
      {following && following.changes.length > 0 && (
        <p className="text-muted">
          {words.follows(
            following.of.label,
            following.changes.map(({ field, row }) => `${fieldWords(field)} ${row.label}`),
          )}
        </p>
      )}
      {done === all && changes.length === 0 && since.length === 0 && (
        <div className="flex flex-wrap items-center gap-2">
          <p className="text-muted">{words.noChanges(values, all, overall && smallestChange(overall))}</p>
          {end - start < DAY && <Button onClick={() => onRange("24h")}>{words.tryDay}</Button>}
        </div>
      )}
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

/** A value of a property, among those of a funnel. */
interface Value {
  field: string;
  row: FunnelRow;
}

/** What has no value, and the rest of the values, have no condition of one value. */
const hasCondition = ({ result, isAll }: FunnelRow): boolean =>
  !isAll && result.value !== "" && result.value !== REST_VALUE;

interface NarrowProps extends Pick<Props, "question" | "onQuestion"> {
  each: Value & { within?: Value };
}

function Narrow({ each, question, onQuestion }: NarrowProps) {
  if (!hasCondition(each.row)) return null;
  const values = each.within ? [each.within, each] : [each];
  const narrowed = values.reduce((of, { field, row }) => onlyValue(of, { field, value: row.result.value }), question);
  // Of one value a breakdown by its property has a single line.
  const by = values.some(({ field }) => field === question.by) ? "" : question.by;
  return (
    <Button className="explore-small" onClick={() => onQuestion({ ...narrowed, by })}>
      {words.filterTo(values.map(({ row }) => row.label).join(", "))}
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
  const { field, row, step, change, within } = each;
  const now = row.result.steps[step];
  const before = row.earlier?.steps[step];
  return (
    <li className="explore-change">
      <Points change={change} of={certainty(row, step)} />
      <span className="min-w-0 flex-1">
        {within && (
          <>
            <span className="text-muted">{words.onlyWithin(fieldWords(within.field))} </span>
            <strong className="font-medium">{within.row.label}</strong>,{" "}
          </>
        )}
        {field !== "" && <span className="text-muted">{fieldWords(field)} </span>}
        <strong className="font-medium">{row.label}</strong>{" "}
        <span className="text-muted">
          → {question.steps[step]?.event}: {pctWords(before?.fromPreviousPct)} → {pctWords(now?.fromPreviousPct)}{" "}
          {words.of(
            formatCount(row.earlier?.steps[step - 1]?.count ?? 0),
            formatCount(row.result.steps[step - 1]?.count ?? 0),
          )}
        </span>
      </span>
      <Narrow each={each} question={question} onQuestion={onQuestion} />
      {field !== "" && !within && question.by !== field && (
        <Button className="explore-small" onClick={() => onQuestion({ ...question, by: field })}>
          {words.breakDownBy(fieldWords(field))}
        </Button>
      )}
    </li>
  );
}
