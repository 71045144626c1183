// What charts show, in sentences for those who do not see them.

import { formatCount, formatValue } from "../lib/format.ts";
import { formatInstant } from "../lib/time.ts";
import type { Frame } from "./frame.ts";
import type { Ranking } from "./ranking.ts";
import type { Series, TimeSeries } from "./timeSeries.ts";
import { comparedSpanWords, figureWords, spanWords } from "./words.ts";

const figuresWords = (frame: Frame): string => frame.figures.map((figure) => figureWords(figure, frame)).join("; ");

const MAX_DESCRIBED = 6;

/** What a chart over time shows, for those who do not see it. */
export function timeSeriesSummary(
  title: string,
  frame: Frame,
  { times, series, partialIndex, others }: TimeSeries,
): string {
  const parts = [`${title}, ${spanWords(frame.context)}.`];
  const figures = figuresWords(frame);
  if (figures) parts.push(`${figures}.`);
  for (const one of series.slice(0, MAX_DESCRIBED)) parts.push(`${describeSeries(one, times, partialIndex, frame)}.`);
  if (series.length > MAX_DESCRIBED) parts.push(`${formatCount(series.length - MAX_DESCRIBED)} more series.`);
  if (frame.comparison) parts.push(`Compared with ${comparedSpanWords(frame)}.`);
  if (others.count > 0 && !others.drawn) parts.push(`${formatCount(others.count)} more not shown.`);
  return parts.join(" ");
}

function describeSeries({ label, values, unit }: Series, times: number[], end: number, { context }: Frame): string {
  let high = -1;
  let low = -1;
  for (let i = 0; i < Math.min(end, values.length); i += 1) {
    const value = values[i] ?? null;
    if (value === null) continue;
    if (high < 0 || value > (values[high] ?? 0)) high = i;
    if (low < 0 || value < (values[low] ?? 0)) low = i;
  }
  if (high < 0) return `${label}: no values`;
  const point = (index: number) =>
    `${formatValue(values[index] ?? 0, unit)} at ${formatInstant(times[index] ?? 0, context.zone, context.computedAt)}`;
  return `${label}: lowest ${point(low)}, highest ${point(high)}`;
}

export function rankingSummary(title: string, frame: Frame, { bars, measures, notShown }: Ranking): string {
  const parts = [`${title}, ${spanWords(frame.context)}.`];
  const figures = figuresWords(frame);
  if (figures) parts.push(`${figures}.`);
  const named = bars.slice(0, MAX_DESCRIBED).map(({ label, texts }) => `${label} ${texts.join(" / ")}`);
  parts.push(`${measures.map(({ label }) => label).join(" / ")}: ${named.join(", ")}.`);
  const more = bars.length - named.length + notShown;
  if (more > 0) parts.push(`${formatCount(more)} more.`);
  return parts.join(" ");
}

export const tableSummary = (title: string, frame: Frame): string =>
  `${title}, ${spanWords(frame.context)}: ${formatCount(frame.rows)} ${frame.rows === 1 ? "row" : "rows"}`;
