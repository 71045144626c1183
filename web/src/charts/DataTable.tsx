import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { REST_VALUE } from "../frame/columns.ts";
import type { Frame } from "../frame/frame.ts";
import { tableSummary } from "../frame/summaries.ts";
import { restWords } from "../frame/words.ts";
import { pluralize } from "../lib/format.ts";
import type { ChartKind } from "../live/protocol.ts";
import { drawnFrame } from "./drawnFrame.ts";
import { MoreColumns, useMoreColumns } from "./moreColumns.tsx";
import { type TableColumnView, tableColumns } from "./tableColumns.ts";
import { useValueFilter, ValueButton } from "./valueFilter.tsx";

interface Props {
  frame: Frame;
  /** As which chart the frame is requested. Absent: all of it is the table. */
  kind?: ChartKind;
  title: string;
}

const ROW_HEIGHT = 32;

interface RowProps {
  row: number;
  columns: TableColumnView[];
  index: number;
  /** What the value "(other)" is. */
  rest: string;
}

function Row({ row, columns, index, rest }: RowProps) {
  const filterBy = useValueFilter();
  return (
    <tr aria-rowindex={index} style={{ height: ROW_HEIGHT }} className="border-t border-line">
      {columns.map(({ name, numeric, dimension, format, values }) => {
        const text = format(values[row]);
        const cell = values[row] ?? null;
        const isRest = dimension && cell === REST_VALUE;
        return (
          <td
            key={name}
            title={isRest ? rest : text.length > 20 ? text : undefined}
            className={`truncate px-2.5 ${numeric ? "text-right tabular-nums" : ""} ${isRest ? "text-muted" : ""}`}
          >
            {dimension ? (
              <ValueButton label={text} onClick={filterBy({ dimension: name, cell })} className="inline-block truncate">
                {text}
              </ValueButton>
            ) : (
              text
            )}
          </td>
        );
      })}
    </tr>
  );
}

/** Only the rows that can be seen are in the document. */
export default function DataTable({ frame: result, kind, title }: Props) {
  const frame = useMemo(() => (kind ? drawnFrame(kind, result) : result), [kind, result]);
  const scroller = useRef<HTMLElement>(null);
  const columns = useMemo(() => tableColumns(frame), [frame]);
  const { more, measure } = useMoreColumns(scroller);
  const virtual = useVirtualizer({
    count: frame.rows,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 8,
    initialRect: { width: 480, height: 320 },
  });
  const items = virtual.getVirtualItems();
  const before = items[0]?.start ?? 0;
  const after = virtual.getTotalSize() - (items.at(-1)?.end ?? 0);
  const total = columns.reduce((sum, { width }) => sum + width, 0);

  return (
    <div className="flex min-h-0 w-full flex-1 flex-col gap-1.5">
      <div className="relative flex min-h-0 flex-1">
        <section
          ref={scroller}
          aria-label={tableSummary(title, frame)}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
          tabIndex={0}
          onScroll={measure}
          className="min-h-0 w-full flex-1 overflow-auto [scrollbar-width:thin]"
        >
          <table
            aria-rowcount={frame.rows + 1}
            className="w-full table-fixed text-sm in-data-dimmed:text-muted"
            style={{ minWidth: total }}
          >
            <colgroup>
              {columns.map(({ name, width }) => (
                <col key={name} style={{ width }} />
              ))}
            </colgroup>
            <thead>
              <tr aria-rowindex={1}>
                {columns.map(({ name, label, numeric }) => (
                  <th
                    key={name}
                    scope="col"
                    title={label}
                    className={`sticky top-0 z-10 truncate bg-card px-2.5 py-1.5 text-xs font-medium text-muted ${numeric ? "text-right" : "text-left"}`}
                  >
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {before > 0 && <tr style={{ height: before }} />}
              {items.map(({ index }) => (
                <Row key={index} row={index} index={index + 2} columns={columns} rest={restWords(frame)} />
              ))}
              {after > 0 && <tr style={{ height: after }} />}
            </tbody>
          </table>
        </section>
        {more && <MoreColumns />}
      </div>
      <p className="text-xs text-muted">
        {pluralize(frame.rows, "row")}
        {more && ", more columns to the right"}
      </p>
    </div>
  );
}
