// A trend as a chart, and its figures in a table bound to it.

import { useMemo, useRef, useState } from "react";
import { Chart } from "../../charts/Chart.tsx";
import { HighlightContext, HoverContext } from "../../charts/highlight.ts";
import { MoreColumns, useMoreColumns } from "../../charts/moreColumns.tsx";
import { swatch } from "../../charts/swatch.ts";
import type { TrendDetail } from "../../frame/detail.ts";
import { inReadingOrder } from "../../frame/lineOrder.ts";
import { formatChange } from "../../lib/format.ts";
import { clockOrInstant, DAY, formatClock, formatDay, formatInstant, sameDay, toWallClock } from "../../lib/time.ts";
import type { ChartKind } from "../../live/protocol.ts";
import { Select } from "../../ui/Select.tsx";
import { BUCKETS, type Bucket, type Chart as ChartName, chartOf, type Trend, withValue } from "./question.ts";
import type { ResultProps } from "./Result.tsx";
import { changePct, type TrendRow, trendRows, withFrameKeys } from "./result.ts";
import { words } from "./strings.ts";
import { ChartSelect, SortHeader, useSorted } from "./tables.tsx";
import { questionWords } from "./words.ts";

const KINDS: Partial<Record<ChartName, ChartKind>> = {
  area: "area",
  stacked: "stacked",
  bar: "bar",
  ranking: "horizontal-bar",
  number: "number",
};

export function TrendResult({ question, answer, frame, frameKey, onQuestion, onPeople }: ResultProps<Trend>) {
  /** The row under the pointer, and the series that is nearest to it in the chart. */
  const [highlight, setHighlight] = useState<string>();
  const [hovered, setHovered] = useState<string>();
  const detail = frame.detail as TrendDetail;
  const asked = answer.question as Trend;
  const rows = useMemo(
    () => inReadingOrder(withFrameKeys(trendRows(asked, detail), frame), ({ line }) => line),
    [asked, detail, frame],
  );
  const chart = chartOf(question);
  const title = questionWords(question);
  return (
    <>
      <div className="explore-toolbar">
        <ChartSelect question={question} onQuestion={onQuestion} />
        {chart !== "ranking" && chart !== "number" && chart !== "table" && (
          <BucketSelect
            value={question.bucket}
            onChange={(bucket) => onQuestion(withValue(question, "bucket", bucket))}
          />
        )}
      </div>
      <HighlightContext value={highlight}>
        <HoverContext value={setHovered}>
          {chart !== "table" && (
            <div className="explore-chart">
              <Chart frame={frame} frameKey={frameKey} kind={KINDS[chart] ?? "line"} title={title} top={rows.length} />
            </div>
          )}
        </HoverContext>
      </HighlightContext>
      <TrendTable
        rows={rows}
        detail={detail}
        context={frame.context}
        highlight={highlight ?? hovered}
        onHighlight={setHighlight}
        onPeople={(row, bucket) =>
          onPeople(
            {
              kind: "trend",
              series: row.line.series,
              breakdown: row.line.breakdown,
              isOther: row.line.isOther,
              ...(bucket !== undefined && { bucket }),
            },
            bucket === undefined ? row.label : `${row.label}, ${instant(bucket, frame.context)}`,
          )
        }
      />
    </>
  );
}

const instant = (at: number, { zone, computedAt }: { zone: string; computedAt: number }) =>
  clockOrInstant(at, zone, computedAt);

/** The heads of columns: with the day where it differs from that of the column before. */
function columnTimes(buckets: number[], { zone, computedAt }: { zone: string; computedAt: number }): string[] {
  const areDays = buckets.every((at) => toWallClock(at, zone) % DAY === 0);
  return buckets.map((at, index) => {
    if (areDays) return formatDay(at, zone, computedAt);
    const before = buckets[index - 1];
    const isSameDay = before !== undefined && sameDay(at, before, zone);
    return isSameDay ? formatClock(at, zone) : formatInstant(at, zone, computedAt);
  });
}

export function BucketSelect({ value, onChange }: { value?: Bucket; onChange: (bucket: Bucket | undefined) => void }) {
  return (
    <Select
      label={words.bucket}
      value={value ?? "auto"}
      text={value ? words.buckets[value] : `${words.bucket}: ${words.buckets.auto.toLowerCase()}`}
      options={(["auto", ...BUCKETS] as const).map((each) => ({ value: each, label: words.buckets[each] }))}
      className="ui-button-quiet explore-small"
      onChange={(chosen) => onChange(chosen === "auto" ? undefined : (chosen as Bucket))}
    />
  );
}

/** More columns would be slow, and nobody reads them. */
const MAX_BUCKETS = 31;

interface TableProps {
  rows: TrendRow[];
  detail: TrendDetail;
  context: { zone: string; computedAt: number };
  highlight: string | undefined;
  onHighlight: (key: string | undefined) => void;
  onPeople: (row: TrendRow, bucket?: number) => void;
}

type Column = "line" | "total" | "earlier" | "change";

function TrendTable({ rows, detail, context, highlight, onHighlight, onPeople }: TableProps) {
  const compared = rows.some(({ line }) => line.compared);
  const { sorted, sort, toggle } = useSorted<TrendRow, Column>(rows, {
    line: ({ label }) => label,
    total: ({ line }) => line.total,
    earlier: ({ line }) => line.compared?.total ?? null,
    change: ({ line }) => changePct(line.total, line.compared?.total),
  });
  const first = Math.max(0, detail.buckets.length - MAX_BUCKETS);
  // Newest first: it is what one looks for.
  const buckets = detail.buckets
    .map((at, index) => ({ at, index }))
    .slice(first)
    .reverse();
  const times = columnTimes(
    buckets.map(({ at }) => at),
    context,
  );
  const header = (column: Column, text: string, numeric = true) => (
    <SortHeader
      label={text}
      numeric={numeric}
      sorted={sort?.column === column ? sort.direction : undefined}
      onSort={() => toggle(column)}
    />
  );
  const scroller = useRef<HTMLElement>(null);
  const { more, measure } = useMoreColumns(scroller);
  return (
    <div className="relative min-w-0">
      <section
        ref={scroller}
        aria-label={words.table}
        className="explore-table" // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
        tabIndex={0}
        onScroll={measure}
      >
        <table>
          <thead>
            <tr>
              {header("line", words.line, false)}
              {header("total", words.total)}
              {compared && header("earlier", words.earlier)}
              {compared && header("change", words.change)}
              {buckets.map(({ at }, index) => (
                <th key={at} scope="col" className="text-right whitespace-nowrap">
                  {times[index]}
                </th>
              ))}
            </tr>
          </thead>
          <tbody onPointerLeave={() => onHighlight(undefined)}>
            {sorted.map((row) => {
              const change = changePct(row.line.total, row.line.compared?.total);
              return (
                <tr
                  key={row.key}
                  data-highlight={row.key === highlight || undefined}
                  onPointerEnter={() => onHighlight(rows.length > 1 ? row.key : undefined)}
                  onFocus={() => onHighlight(rows.length > 1 ? row.key : undefined)}
                  onBlur={() => onHighlight(undefined)}
                >
                  <th scope="row">
                    <span className="flex min-w-0 items-center gap-2">
                      <span aria-hidden="true" className="explore-dot" style={swatch(row.color, row.dash)} />
                      <span className="truncate" title={row.label}>
                        {row.label}
                      </span>
                    </span>
                  </th>
                  <td className="font-medium">
                    <button
                      type="button"
                      className="explore-figure"
                      aria-label={`${row.format(row.line.total)}: ${words.peopleBehind(row.label)}`}
                      onClick={() => onPeople(row)}
                    >
                      {row.format(row.line.total)}
                    </button>
                  </td>
                  {compared && <td className="text-muted">{row.format(row.line.compared?.total ?? null)}</td>}
                  {compared && <td>{change === null ? "–" : formatChange(change)}</td>}
                  {buckets.map(({ at, index }) => {
                    const text = row.format(row.line.values[index] ?? null);
                    return (
                      <td key={at}>
                        <button
                          type="button"
                          className="explore-figure"
                          aria-label={`${text}: ${words.peopleBehind(`${row.label}, ${instant(at, context)}`)}`}
                          onClick={() => onPeople(row, at)}
                        >
                          {text}
                        </button>
                      </td>
                    );
                  })}
                </tr>
              );
            })}
          </tbody>
        </table>
        {first > 0 && <p className="sticky left-0 w-fit p-2 text-xs text-muted">{words.moreBuckets(first)}</p>}
      </section>
      {more && <MoreColumns />}
    </div>
  );
}
