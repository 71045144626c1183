// A funnel: its steps, the values of its breakdown, and what changed since the period before.

import { useMemo, useState } from "react";
import { decodeExplore } from "../../api/decodeExplore.ts";
import { exploreRequest } from "../../api/explore.ts";
import type { Init, QueryFunnelRequest } from "../../api/messages.ts";
import { QUERY_FUNNEL } from "../../api/methods.ts";
import { Chart } from "../../charts/Chart.tsx";
import type { FunnelDetail } from "../../frame/detail.ts";
import type { Frame } from "../../frame/frame.ts";
import { spanWords } from "../../frame/words.ts";
import { formatCount, formatDuration } from "../../lib/format.ts";
import { useCall } from "../../live/useCall.ts";
import type { Selection } from "../../query/query.ts";
import type { Range } from "../../query/range.ts";
import { fieldWords } from "../../shell/pickers/fields.ts";
import { Changes } from "./Changes.tsx";
import { certainty, entriesOf, type FunnelRow, funnelRows, worstChange } from "./funnelRows.ts";
import { Points } from "./Points.tsx";
import { chartOf, type Funnel, withValue } from "./question.ts";
import type { ResultProps } from "./Result.tsx";
import { earlierSelection, pctWords, points, pointsWords } from "./result.ts";
import { words } from "./strings.ts";
import { BucketSelect } from "./TrendResult.tsx";
import { ChartSelect, SortHeader, useSorted } from "./tables.tsx";
import { questionWords } from "./words.ts";

/** Who can still convert is not lost. */
const lostWords = ({ result }: FunnelRow) => (result.running > 0 ? words.notYet : words.lost);

const FIVE_MINUTES = 300_000;

/** The same funnel in the period before. The bounds move every five minutes, not with each update. */
function useEarlier(answer: ResultProps<Funnel>["answer"], selection: Selection): Frame | undefined {
  const { compare } = selection;
  const { context } = answer.frame;
  const until = Math.floor(context.computedAt / FIVE_MINUTES) * FIVE_MINUTES;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the query
  const query = useMemo(
    () =>
      compare && {
        ...answer.query,
        ...earlierSelection({ ...answer.query, compare }, { ...context, computedAt: until }, compare),
      },
    [answer.key, compare, until],
  );
  const request = useMemo(() => (query ? (exploreRequest(query).value as Init<QueryFunnelRequest>) : null), [query]);
  const { data } = useCall(QUERY_FUNNEL, request, { staleMs: FIVE_MINUTES });
  return useMemo(
    () => (query && data ? decodeExplore(query, { case: "funnel", value: data }) : undefined),
    [query, data],
  );
}

interface FunnelProps extends ResultProps<Funnel> {
  selection: Selection;
  onRange: (range: Range) => void;
}

export default function FunnelResult(props: FunnelProps) {
  const { question, answer, frame, frameKey, onQuestion, onPeople, selection, onRange } = props;
  const detail = frame.detail as FunnelDetail;
  const earlierFrame = useEarlier(answer, selection);
  const earlier = earlierFrame?.detail as FunnelDetail | undefined;
  const [hovered, setHovered] = useState<string>();
  const chart = chartOf(question);
  const rows = useMemo(() => funnelRows(detail, earlier), [detail, earlier]);
  const shown = rows.find(({ key }) => key === hovered) ?? rows[0];
  const versus = words.versus[selection.compare ?? "previous"];
  const worst = earlier && worstChange(rows, detail.field);
  const people = (row: FunnelRow, step: number, dropped = false) =>
    onPeople(
      { kind: "funnel", step: step + 1, dropped, ...(!row.isAll && { breakdown: row.result.value }) },
      `${detail.steps[step] ?? ""}${dropped ? `, ${lostWords(row)}` : ""}${row.isAll ? "" : `, ${row.label}`}`,
    );
  return (
    <>
      <div className="explore-toolbar">
        <ChartSelect question={question} onQuestion={onQuestion} />
        {chart === "line" && (
          <BucketSelect
            value={question.bucket}
            onChange={(bucket) => onQuestion(withValue(question, "bucket", bucket))}
          />
        )}
      </div>
      {worst && (
        <p className="explore-callout">
          {words.worst(detail.steps[worst.step] ?? "", worst.row.label, pointsWords(worst.change))}
        </p>
      )}
      {chart === "steps" && shown && (
        <Steps detail={detail} row={shown} onPeople={(step, dropped) => people(shown, step, dropped)} />
      )}
      {(chart === "line" || chart === "time") && (
        <div className="explore-chart">
          <Chart
            frame={frame}
            frameKey={frameKey}
            kind={chart === "line" ? "line" : "time-to-convert"}
            title={questionWords(question)}
            top={detail.breakdown.length + 1}
          />
        </div>
      )}
      <FunnelTable detail={detail} rows={rows} versus={earlier && versus} onHover={setHovered} onPeople={people} />
      <Changes
        onRange={onRange}
        question={question}
        answer={answer}
        compare={selection.compare}
        onQuestion={onQuestion}
      />
      {earlierFrame && (
        <p className="text-xs text-muted">
          {words.comparedWith(spanWords({ ...earlierFrame.context, computedAt: frame.context.computedAt }))}
        </p>
      )}
      {detail.overall.running > 0 && <p className="text-xs text-muted">{words.running2(detail.overall.running)}</p>}
      {detail.truncatedVisitors > 0 && (
        <p className="text-xs text-muted">{words.truncated(detail.truncatedVisitors)}</p>
      )}
    </>
  );
}

interface StepsProps {
  detail: FunnelDetail;
  row: FunnelRow;
  onPeople: (step: number, dropped: boolean) => void;
}

/** A column per step, as high as its share of the first one. What was lost is hatched above. */
function Steps({ detail, row, onPeople }: StepsProps) {
  return (
    <div className="flex min-w-0 flex-col gap-2" data-chart="steps">
      {/* Always there where rows are pointed at: nothing moves. */}
      {detail.field !== "" && <p className="truncate text-xs text-muted">{row.label}</p>}
      <ol
        className="explore-steps"
        style={{ gridTemplateColumns: `repeat(${detail.steps.length}, minmax(7rem, 16rem))` }}
      >
        {row.result.steps.map((step, index) => {
          const name = detail.steps[index] ?? "";
          const before = row.earlier?.steps[index];
          const change = index === 0 ? null : points(step.fromPreviousPct, before?.fromPreviousPct);
          const lost = index === 0 ? 0 : (row.result.steps[index - 1]?.count ?? 0) - step.count;
          const height = Math.max(0, Math.min(100, step.fromFirstPct ?? 0));
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: steps have no identity but their number
            <li key={index} className="explore-step">
              <p className="truncate font-medium" title={name}>
                <span className="text-muted">{index + 1}</span> {name}
              </p>
              <div className="explore-step-bar" aria-hidden="true">
                <div className="explore-step-fill" style={{ height: `${height}%` }} />
                {before?.fromFirstPct !== null && before?.fromFirstPct !== undefined && index > 0 && (
                  <div className="explore-step-before" style={{ bottom: `${Math.min(100, before.fromFirstPct)}%` }} />
                )}
              </div>
              <p className="flex flex-wrap items-baseline gap-x-2">
                <span className="text-base font-semibold">{pctWords(step.fromFirstPct)}</span>
                <button
                  type="button"
                  className="explore-figure"
                  aria-label={`${formatCount(step.count)}: ${words.peopleBehind(name)}`}
                  onClick={() => onPeople(index, false)}
                >
                  {formatCount(step.count)}
                </button>
              </p>
              {index > 0 && (
                <p className="flex flex-wrap gap-x-2 text-xs text-muted">
                  <span>
                    {pctWords(step.fromPreviousPct)} {words.fromPrevious.toLowerCase()}
                  </span>
                  {change !== null && <Points change={change} of={certainty(row, index)} />}
                </p>
              )}
              {index > 0 && (
                <p className="flex flex-wrap items-center gap-x-2 text-xs text-muted">
                  <button
                    type="button"
                    className="explore-figure"
                    aria-label={`${formatCount(lost)} ${lostWords(row)}: ${words.peopleBehind(name)}`}
                    onClick={() => onPeople(index, true)}
                  >
                    {formatCount(lost)} {lostWords(row)}
                  </button>
                  <span>{words.medianIs(step.medianMs === null ? "–" : formatDuration(step.medianMs))}</span>
                </p>
              )}
            </li>
          );
        })}
      </ol>
    </div>
  );
}

interface ChangedProps {
  row: FunnelRow;
  step: number;
  change: number;
  /** The name of the step before. */
  of: string;
}

/** A change, and how many people it is a change of. */
function Changed({ row, step, change, of }: ChangedProps) {
  const [now, before] = entriesOf(row, step);
  return (
    <span className="inline-flex items-baseline gap-2 whitespace-nowrap">
      <Points change={change} of={certainty(row, step)} />
      <span className="text-xs text-muted" title={words.entriesHint(now, before, of)}>
        {words.entries(now, before)}
      </span>
    </span>
  );
}

interface TableProps {
  detail: FunnelDetail;
  rows: FunnelRow[];
  versus: string | undefined;
  onHover: (key: string | undefined) => void;
  onPeople: (row: FunnelRow, step: number, dropped?: boolean) => void;
}

function FunnelTable({ detail, rows, versus, onHover, onPeople }: TableProps) {
  const steps = detail.steps.map((_, index) => index);
  const columns: Record<string, (row: FunnelRow) => string | number | null> = { line: ({ label }) => label };
  for (const index of steps) {
    columns[`count${index}`] = ({ result }) => result.steps[index]?.count ?? null;
    columns[`pct${index}`] = ({ result }) => result.steps[index]?.fromPreviousPct ?? null;
    columns[`change${index}`] = ({ result, earlier }) =>
      points(result.steps[index]?.fromPreviousPct, earlier?.steps[index]?.fromPreviousPct);
  }
  const { sorted, sort, toggle } = useSorted<FunnelRow, string>(rows, columns);
  const header = (column: string, label: string, numeric = true) => (
    <SortHeader
      key={column}
      label={label}
      numeric={numeric}
      sorted={sort?.column === column ? sort.direction : undefined}
      onSort={() => toggle(column)}
    />
  );
  return (
    <section
      aria-label={words.table}
      className="explore-table"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
      tabIndex={0}
    >
      <table>
        <thead>
          <tr>
            {header("line", detail.field ? fieldWords(detail.field) : words.line, false)}
            {steps.flatMap((index) => [
              header(`count${index}`, detail.steps[index] ?? ""),
              ...(index === 0 ? [] : [header(`pct${index}`, words.conversion)]),
              ...(index === 0 || !versus ? [] : [header(`change${index}`, `vs ${versus}`)]),
            ])}
            <th scope="col" className="text-right">
              {words.median}
            </th>
          </tr>
        </thead>
        <tbody onPointerLeave={() => onHover(undefined)}>
          {sorted.map((row) => (
            <tr
              key={row.key}
              onPointerEnter={() => onHover(row.key)}
              onFocus={() => onHover(row.key)}
              onBlur={() => onHover(undefined)}
            >
              <th scope="row" className={row.isAll ? "font-medium" : ""}>
                {row.label}
              </th>
              {steps.flatMap((index) => {
                const step = row.result.steps[index];
                const change = points(step?.fromPreviousPct, row.earlier?.steps[index]?.fromPreviousPct);
                return [
                  <td key={`count${index}`}>
                    <button
                      type="button"
                      className="explore-figure"
                      aria-label={`${formatCount(step?.count ?? 0)}: ${words.peopleBehind(`${detail.steps[index]}, ${row.label}`)}`}
                      onClick={() => onPeople(row, index)}
                    >
                      {formatCount(step?.count ?? 0)}
                    </button>
                  </td>,
                  ...(index === 0
                    ? []
                    : [
                        <td key={`pct${index}`} className="font-medium">
                          {pctWords(step?.fromPreviousPct)}
                        </td>,
                      ]),
                  ...(index === 0 || !versus
                    ? []
                    : [
                        <td key={`change${index}`}>
                          {change === null ? (
                            <span title={words.notListedBefore}>–</span>
                          ) : (
                            <Changed row={row} step={index} change={change} of={detail.steps[index - 1] ?? ""} />
                          )}
                        </td>,
                      ]),
                ];
              })}
              <td className="text-muted">
                {row.result.timeToConvert?.medianMs != null ? formatDuration(row.result.timeToConvert.medianMs) : "–"}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
