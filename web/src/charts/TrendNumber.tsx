// The totals of a trend as numbers, each with its line over the range.

import { useMemo } from "react";
import type { TrendDetail, TrendLine } from "../frame/detail.ts";
import type { FrameContext } from "../frame/frame.ts";
import { formatChange, formatCompact, formatValue } from "../lib/format.ts";
import { fittingFontSize } from "./bigFigure.ts";
import { extentOf, toSparkline } from "./sparkline.ts";
import { strings } from "./strings.ts";

/** More numbers are a table. */
const MAX_NUMBERS = 6;
const MAX_CHARACTERS = 12;

const words = strings.number;

interface Props {
  detail: TrendDetail;
  context: FrameContext;
}

export default function TrendNumber({ detail: { lines, buckets }, context }: Props) {
  const shown = lines.slice(0, MAX_NUMBERS);
  const { partialFrom } = context;
  const partialIndex = partialFrom === null ? -1 : buckets.findIndex((at) => at >= partialFrom);
  const single = shown.length === 1;
  return (
    <div className="flex min-h-0 flex-1 flex-col gap-2">
      <ul
        className={`grid min-h-0 flex-1 gap-x-6 gap-y-4 overflow-y-auto [scrollbar-width:thin] ${single ? "" : "grid-cols-[repeat(auto-fit,minmax(min(9rem,100%),1fr))] content-start"}`}
      >
        {shown.map((line) => (
          <NumberItem
            key={`${line.series} ${line.label}`}
            line={line}
            large={single}
            partialIndex={partialIndex < 0 ? buckets.length : partialIndex}
          />
        ))}
      </ul>
      {lines.length > shown.length && <p className="text-xs text-muted">{words.more(lines.length - shown.length)}</p>}
    </div>
  );
}

function NumberItem({ line, large, partialIndex }: { line: TrendLine; large: boolean; partialIndex: number }) {
  const { label, unit, total, compared, values } = line;
  const exact = total === null ? "–" : formatValue(total, unit);
  const text = total !== null && exact.length > MAX_CHARACTERS ? formatCompact(total) : exact;
  return (
    <li className="@container flex min-h-0 min-w-0 flex-col">
      <span className="truncate text-xs text-muted" title={label}>
        {label}
      </span>
      <span className="flex min-w-0 flex-wrap items-baseline gap-x-2">
        <span
          data-figure=""
          title={text === exact ? undefined : exact}
          className="min-w-0 truncate leading-tight font-semibold tracking-tight tabular-nums in-data-dimmed:text-muted"
          style={{ fontSize: fittingFontSize(text, large ? 2.25 : 1.75) }}
        >
          {text}
        </span>
        {compared && <Change total={total} earlier={compared.total} unit={unit} />}
      </span>
      <Line values={values} earlier={compared?.values} partialIndex={partialIndex} label={label} large={large} />
    </li>
  );
}

/** Neutral: whether more is better is not known. */
function Change({ total, earlier, unit }: { total: number | null; earlier: number | null; unit: string }) {
  const pct = total === null || !earlier ? null : (100 * (total - earlier)) / Math.abs(earlier);
  return (
    <span
      className="rounded-md bg-hover px-1.5 py-0.5 text-xs font-medium tabular-nums"
      title={earlier === null ? words.none : words.earlier(formatValue(earlier, unit))}
    >
      {pct === null ? words.none : `${pct > 0 ? "↑" : pct < 0 ? "↓" : "→"} ${formatChange(pct)}`}
    </span>
  );
}

interface LineProps {
  values: (number | null)[];
  earlier: (number | null)[] | undefined;
  partialIndex: number;
  label: string;
  large: boolean;
}

function Line({ values, earlier, partialIndex, label, large }: LineProps) {
  const { spark, before } = useMemo(() => {
    const extent = extentOf([...values, ...(earlier ?? [])]);
    return {
      spark: toSparkline(values, partialIndex, extent),
      before: earlier && toSparkline(earlier, earlier.length, extent),
    };
  }, [values, earlier, partialIndex]);
  if (values.length < 2) return null;
  const stroke = { fill: "none", vectorEffect: "non-scaling-stroke", strokeLinejoin: "round" } as const;
  return (
    <svg
      role="img"
      aria-label={words.sparkline(label)}
      viewBox="0 0 100 100"
      preserveAspectRatio="none"
      className={`mt-1 w-full min-w-0 overflow-visible in-data-dimmed:opacity-60 ${large ? "min-h-10 flex-1" : "h-8"}`}
    >
      <path d={spark.area} fill="var(--c1)" fillOpacity={0.14} />
      {before && <path d={before.line} {...stroke} stroke="var(--other)" strokeWidth={1} strokeDasharray="3 3" />}
      <path d={spark.line} {...stroke} stroke="var(--c1)" strokeWidth={1.5} />
      <path d={spark.running} {...stroke} stroke="var(--c1)" strokeWidth={1.5} strokeDasharray="2 3" />
    </svg>
  );
}
