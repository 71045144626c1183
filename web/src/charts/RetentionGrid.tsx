// Cohorts by periods as a table whose cells are shaded. The percentages are always there: the shade only helps to find them.

import { type KeyboardEvent, useMemo, useRef, useState } from "react";
import type { RetentionDetail } from "../frame/detail.ts";
import type { FrameContext } from "../frame/frame.ts";
import { formatCount } from "../lib/format.ts";
import { PickButton, usePick } from "./pick.tsx";
import { cellWords, type GridCell, type GridRow, nextCell, toRetentionGrid } from "./retentionShape.ts";
import { strings } from "./strings.ts";

const words = strings.retention;

/** How much of the accent is in a shade. The text keeps a contrast of 4.5:1 on each of them. */
const SHADE_PERCENT = [8, 20, 34, 50, 92];
const LAST = SHADE_PERCENT.length - 1;

const background = (shade: number, pct: number | null): string =>
  pct === null || pct === 0
    ? "transparent"
    : `color-mix(in srgb, var(--accent) ${SHADE_PERCENT[shade] ?? 0}%, var(--card))`;

interface Props {
  detail: RetentionDetail;
  context: FrameContext;
  title: string;
}

export default function RetentionGrid({ detail, context, title }: Props) {
  const [chosen, setChosen] = useState("");
  const result = detail.breakdown.find(({ value }) => value === chosen) ?? detail.overall;
  const breakdown = result === detail.overall ? undefined : result.value;
  const grid = useMemo(() => toRetentionGrid(detail, result, context), [detail, result, context]);
  return (
    <div className="flex min-h-0 w-full flex-1 flex-col gap-2">
      {detail.breakdown.length > 0 && (
        <label className="flex items-center gap-2 text-xs text-muted">
          {detail.field}
          <select
            className="h-(--target) min-w-0 rounded-lg border border-line-strong bg-raised px-2 text-ink"
            value={breakdown ?? ""}
            onChange={({ target }) => setChosen(target.value)}
          >
            <option value="">{words.all}</option>
            {detail.breakdown.map(({ value }) => (
              <option key={value} value={value}>
                {value}
              </option>
            ))}
          </select>
        </label>
      )}
      <Grid grid={grid} breakdown={breakdown} title={title} />
      {grid.hasIncomplete && <p className="text-xs text-muted">{words.incomplete}</p>}
    </div>
  );
}

function Grid({
  grid: { columns, rows, mean },
  breakdown,
  title,
}: {
  grid: ReturnType<typeof toRetentionGrid>;
  breakdown: string | undefined;
  title: string;
}) {
  const onPick = usePick();
  const table = useRef<HTMLTableElement>(null);
  const [current, setCurrent] = useState({ row: 0, column: 1 });
  // The first period is the cohort itself: it stands in the column of the visitors.
  const shown = columns.slice(1);
  const move = (event: KeyboardEvent) => {
    const next = nextCell(rows, current, event.key);
    if (!next || next.column < 1) return;
    event.preventDefault();
    setCurrent(next);
    table.current?.querySelector<HTMLElement>(`[data-cell="${next.row}-${next.column}"]`)?.focus();
  };
  const cell = (row: GridRow, rowIndex: number, each: GridCell) => {
    const label = cellWords(each, columns[each.period] ?? "", row);
    const style = {
      background: background(each.shade, each.pct),
      color: each.shade === LAST ? "var(--on-accent)" : undefined,
    };
    const className = `block w-full min-w-12 rounded-sm px-1.5 py-1 text-right tabular-nums pointer-coarse:py-2.5 ${
      each.incomplete ? "outline-1 -outline-offset-1 outline-dashed outline-line-strong" : ""
    }`;
    if (!onPick) {
      return (
        <span className={className} style={style} title={label}>
          {each.text}
        </span>
      );
    }
    return (
      <button
        type="button"
        data-cell={`${rowIndex}-${each.period}`}
        tabIndex={rowIndex === current.row && each.period === current.column ? 0 : -1}
        className={`${className} hover:ring-1 hover:ring-ink focus-visible:outline-2 focus-visible:outline-offset-1 focus-visible:outline-accent focus-visible:outline-solid`}
        style={style}
        aria-label={label}
        title={label}
        onFocus={() => setCurrent({ row: rowIndex, column: each.period })}
        onClick={() =>
          onPick({ kind: "retention", cohort: row.start, period: each.period, dropped: false, breakdown }, label)
        }
      >
        {each.text}
      </button>
    );
  };
  return (
    <section
      aria-label={words.name(title)}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
      tabIndex={0}
      className="min-h-0 flex-1 overflow-auto [scrollbar-width:thin] in-data-dimmed:opacity-60"
    >
      <table ref={table} className="w-full border-separate border-spacing-0.5 text-xs" onKeyDown={move}>
        <thead>
          <tr className="text-muted">
            <th scope="col" className="sticky top-0 left-0 z-2 bg-card py-1 pr-2 text-left font-medium">
              {words.cohort}
            </th>
            <th scope="col" className="sticky top-0 z-1 bg-card px-1.5 py-1 text-right font-medium">
              {words.visitors}
            </th>
            {shown.map((column) => (
              <th
                key={column}
                scope="col"
                className="sticky top-0 z-1 bg-card px-1.5 py-1 text-right font-medium whitespace-nowrap"
              >
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, rowIndex) => (
            <tr key={row.start}>
              <th scope="row" className="sticky left-0 z-1 bg-card py-1 pr-2 text-left font-normal whitespace-nowrap">
                {row.label}
              </th>
              <td className="px-1.5 text-right tabular-nums">
                <PickButton
                  pick={{ kind: "retention", cohort: row.start, period: 0, dropped: false, breakdown }}
                  words={row.label}
                  label={words.cohortLabel(row.label, row.size)}
                >
                  {formatCount(row.size)}
                </PickButton>
              </td>
              {row.cells.slice(1).map((each, index) => (
                <td key={shown[index]} className="p-0">
                  {each && cell(row, rowIndex, each)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr className="font-medium">
            <th
              scope="row"
              title={words.meanHint}
              className="sticky bottom-0 left-0 z-2 border-t border-line bg-card py-1 pr-2 text-left font-medium"
            >
              {words.mean}
            </th>
            <td className="sticky bottom-0 border-t border-line bg-card" />
            {mean.slice(1).map(({ text }, index) => (
              <td
                key={shown[index]}
                className="sticky bottom-0 border-t border-line bg-card px-1.5 py-1 text-right tabular-nums"
              >
                {text}
              </td>
            ))}
          </tr>
        </tfoot>
      </table>
    </section>
  );
}
