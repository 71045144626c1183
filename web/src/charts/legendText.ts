import type { DimensionValue } from "../frame/columns.ts";
import { intervalWords } from "../frame/words.ts";
import { formatCount, formatSum, isInlineUnit } from "../lib/format.ts";
import { COMPARED_TOTAL, type Plot, type PlotSeries } from "./plot.ts";

export interface LegendEntry {
  key: string;
  color: string;
  dash: number;
  line: boolean;
  label: string;
  value: string;
  /** What the value is. */
  note: string;
  /** Which value of a dimension the series is. */
  dimensionValue?: DimensionValue;
}

export interface LegendText {
  entries: LegendEntry[];
  notes: string[];
}

/** Totals of counts, and the last complete value of ratios and means. */
export function legendText(plot: Plot, others: { count: number; drawn: boolean }, interval: number | null): LegendText {
  const entries = plot.series.map((series) => ({
    key: series.key,
    color: series.color,
    dash: series.dash,
    line: series.shape === "line",
    label: series.label,
    dimensionValue: series.value,
    ...legendValue(series, plot.partialIndex),
  }));
  const notes: string[] = [];
  const [unit] = plot.axes.map((axis) => axis.unit);
  const per = interval === null ? "" : `per ${intervalWords(interval)}`;
  const what = [unit && !isInlineUnit(unit) ? unit : "", per].filter(Boolean).join(" ");
  // What the values beside the names are, once for all of them.
  const meanings = [...new Set(entries.map(({ note }) => note))];
  const [meaning] = meanings;
  const text = [what, meanings.length === 1 && meaning ? `${meaning}${entries.length > 1 ? "s" : ""}` : ""];
  if (text.some(Boolean)) notes.push(text.filter(Boolean).join(", "));
  if (plot.compared && plot.compared.lines.length > 0) {
    const total = plot.compared.lines[0]?.key === COMPARED_TOTAL ? "total " : "";
    notes.push(`dashed: ${total}${plot.compared.label}`);
  }
  if (others.count > 0 && !others.drawn) notes.push(`${formatCount(others.count)} more not shown`);
  return { entries, notes };
}

function legendValue({ values, additive, unit, whole }: PlotSeries, end: number): { value: string; note: string } {
  const decimals = whole && unit !== "%" ? 0 : undefined;
  if (additive) {
    let sum = 0;
    for (const value of values) sum += value ?? 0;
    return { value: formatSum(sum, unit, decimals), note: "total" };
  }
  for (let i = Math.min(end, values.length) - 1; i >= 0; i -= 1) {
    const value = values[i] ?? null;
    if (value !== null) return { value: formatSum(value, unit, decimals), note: "last complete value" };
  }
  return { value: "no data", note: "" };
}
