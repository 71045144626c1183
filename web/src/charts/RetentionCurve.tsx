// Mean retention by period. Its values are also in a table for those who do not see the lines.

import { useMemo } from "react";
import type { RetentionDetail } from "../frame/detail.ts";
import { toCurves } from "./curveShape.ts";
import { percentText } from "./retentionShape.ts";
import { toSparkline } from "./sparkline.ts";
import { strings } from "./strings.ts";

const words = strings.retention;
const MAX_LABELS = 8;

export default function RetentionCurve({ detail, title }: { detail: RetentionDetail; title: string }) {
  const { periods, curves, max, ticks, notShown } = useMemo(() => toCurves(detail, words.all), [detail]);
  const every = Math.ceil(periods.length / MAX_LABELS);
  const x = (index: number) => (100 * index) / Math.max(1, periods.length - 1);
  return (
    <section aria-label={words.curve(title)} className="flex min-h-0 w-full flex-1 flex-col gap-2">
      {curves.length > 1 && (
        <ul data-legend="" className="flex flex-wrap gap-x-4 text-xs text-muted">
          {curves.map(({ key, label, color }) => (
            <li key={key} className="flex max-w-full min-w-0 items-center gap-1.5">
              <span className="h-0.5 w-3 shrink-0 rounded-full" style={{ background: `var(${color})` }} />
              <span className="truncate">{label}</span>
            </li>
          ))}
        </ul>
      )}
      <div aria-hidden="true" className="relative min-h-32 w-full flex-1">
        <div className="absolute top-2 right-3 bottom-6 left-12">
          {ticks.map((tick) => (
            <div
              key={tick}
              className="absolute inset-x-0 border-t border-(--grid)"
              style={{ bottom: `${(100 * tick) / max}%` }}
            >
              <span className="absolute right-full -translate-y-1/2 pr-2 text-xs whitespace-nowrap text-muted tabular-nums">
                {tick}%
              </span>
            </div>
          ))}
          <svg viewBox="0 0 100 100" preserveAspectRatio="none" className="absolute inset-0 size-full overflow-visible">
            <title>{words.curve(title)}</title>
            {curves.map(({ key, color, values }) => (
              <path
                key={key}
                d={toSparkline(values, values.length, { low: 0, high: max }).line}
                fill="none"
                stroke={`var(${color})`}
                strokeWidth={2}
                strokeLinejoin="round"
                vectorEffect="non-scaling-stroke"
              />
            ))}
          </svg>
          {curves.map(({ key, label, color, values }) =>
            values.map((value, index) =>
              value === null ? null : (
                <span
                  key={`${key} ${periods[index]}`}
                  title={`${label}, ${periods[index]}: ${percentText(value)}`}
                  className="absolute size-2 -translate-x-1/2 translate-y-1/2 rounded-full"
                  style={{ left: `${x(index)}%`, bottom: `${(100 * value) / max}%`, background: `var(${color})` }}
                />
              ),
            ),
          )}
          {periods.map((period, index) =>
            index % every === 0 ? (
              <span
                key={period}
                className="absolute top-full -translate-x-1/2 pt-1.5 text-xs whitespace-nowrap text-muted"
                style={{ left: `${x(index)}%` }}
              >
                {index === 0 ? period : index + 1}
              </span>
            ) : null,
          )}
        </div>
      </div>
      {notShown > 0 && <p className="text-xs text-muted">{strings.funnel.notShown(notShown)}</p>}
      <table className="sr-only">
        <caption>{words.curve(title)}</caption>
        <thead>
          <tr>
            <th scope="col">{words.value}</th>
            {periods.map((period) => (
              <th key={period} scope="col">
                {period}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {curves.map(({ key, label, values }) => (
            <tr key={key}>
              <th scope="row">{label}</th>
              {values.map((value, index) => (
                <td key={periods[index]}>{percentText(value)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
