// How long conversions took: a histogram with its median, mean and 90th percentile.

import { useMemo } from "react";
import type { FunnelDetail } from "../frame/detail.ts";
import { formatCount, formatPercent } from "../lib/format.ts";
import { shortDuration, toHistogram } from "./histogramShape.ts";
import { strings } from "./strings.ts";

const words = strings.time;

export default function TimeToConvert({ detail, title }: { detail: FunnelDetail; title: string }) {
  const { timeToConvert } = detail.overall;
  const shape = useMemo(() => (timeToConvert ? toHistogram(timeToConvert) : undefined), [timeToConvert]);
  if (!timeToConvert || !shape || shape.total === 0) {
    return <p className="my-auto py-4 text-center text-sm text-muted">{words.none}</p>;
  }
  const marks = [
    { name: words.median, ms: timeToConvert.medianMs, dashed: false },
    { name: words.mean, ms: timeToConvert.averageMs, dashed: true },
    { name: words.p90, ms: timeToConvert.p90Ms, dashed: true },
  ];
  return (
    <section aria-label={words.name(title)} className="flex min-h-0 w-full flex-1 flex-col gap-2">
      <dl className="flex flex-wrap gap-x-4 gap-y-0.5 text-xs text-muted">
        {marks.map(({ name, ms }) => (
          <div key={name} className="flex items-baseline gap-1.5">
            <dt>{name}</dt>
            <dd className="font-medium text-ink tabular-nums">{ms === null ? "–" : shortDuration(ms)}</dd>
          </div>
        ))}
      </dl>
      <div aria-hidden="true" className="relative min-h-28 w-full flex-1">
        <div className="absolute inset-x-0 top-0 bottom-5 flex items-end gap-px border-b border-line">
          {shape.bars.map(({ from, label, count, height, pct }) => (
            <div
              key={from}
              title={words.bar(label, count, formatPercent(pct))}
              className="flex h-full min-w-0 flex-1 items-end hover:bg-hover"
            >
              <div
                className={`w-full rounded-t-sm in-data-dimmed:opacity-60 ${count > 0 ? "min-h-0.5" : ""}`}
                style={{ height: `${height}%`, background: "var(--c1)" }}
              />
            </div>
          ))}
          {marks.map(({ name, ms, dashed }) => {
            const left = shape.position(ms);
            return left === undefined ? null : (
              <span
                key={name}
                title={`${name}: ${shortDuration(ms ?? 0)}`}
                className={`absolute inset-y-0 w-0 border-l border-ink ${dashed ? "border-dashed opacity-60" : ""}`}
                style={{ left: `${left}%` }}
              />
            );
          })}
        </div>
        {shape.ticks.map(({ at, label }) => (
          <span
            key={at}
            className={`absolute bottom-0 text-xs whitespace-nowrap text-muted ${at === 0 ? "" : at > 95 ? "-translate-x-full" : "-translate-x-1/2"}`}
            style={{ left: `${at}%` }}
          >
            {label}
          </span>
        ))}
      </div>
      <table className="sr-only">
        <caption>{words.caption}</caption>
        <thead>
          <tr>
            <th scope="col">{words.interval}</th>
            <th scope="col">{words.count}</th>
            <th scope="col">{words.share}</th>
          </tr>
        </thead>
        <tbody>
          {shape.bars.map(({ from, label, count, pct }) => (
            <tr key={from}>
              <th scope="row">{label}</th>
              <td>{formatCount(count)}</td>
              <td>{formatPercent(pct)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
