// Results as rows of the table, and periods to compare with.

import { colorByPosition, colorsByValue, dashByPosition, dashesByValue, OTHER_COLOR } from "../../frame/colors.ts";
import { REST_VALUE } from "../../frame/columns.ts";
import type { TrendDetail, TrendLine } from "../../frame/detail.ts";
import type { Frame, FrameContext } from "../../frame/frame.ts";
import { countryName, formatCount, formatDecimal, formatFixed, formatPercent } from "../../lib/format.ts";
import { DAY, fromWallClock, toWallClock } from "../../lib/time.ts";
import type { Compare, Selection } from "../../query/query.ts";
import type { Interval, Range } from "../../query/range.ts";
import { isCountryField } from "../../shell/pickers/fields.ts";
import type { Trend } from "./question.ts";
import { rateOf } from "./rate.ts";
import { rateWords, seriesWords } from "./words.ts";

/** One line of a trend: a row of the table and a series of the chart. */
export interface TrendRow {
  /** The key of its series in the chart. */
  key: string;
  label: string;
  /** A CSS variable. */
  color: string;
  /** Of rows with the same colour, as the chart draws them. */
  dash: number;
  line: TrendLine;
  format: (value: number | null) => string;
}

function valueFormat({ unit, values, total }: TrendLine): (value: number | null) => string {
  const whole = [...values, total].every((value) => value === null || Number.isInteger(value));
  const format = unit === "%" ? formatPercent : whole ? formatCount : formatDecimal;
  return (value) => (value === null ? "–" : format(value));
}

/** "Spain" for ES. */
export const fieldValueWords = (field: string, value: string): string =>
  isCountryField(field) && /^[A-Z]{2}$/.test(value) ? countryName(value) : value;

export function trendRows(question: Trend, { lines, fields }: TrendDetail): TrendRow[] {
  const formula = question.formula.trim();
  const several = formula === "" && question.series.length > 1;
  const rate = rateOf(question);
  const computed = rate ? rateWords(rate) : formula;
  const name = ({ series }: TrendLine) => computed || seriesWords(question.series[series]);
  const label = (line: TrendLine): string => {
    if (fields.length === 0) return name(line);
    const values = line.isOther
      ? REST_VALUE
      : line.breakdown.map((value, i) => fieldValueWords(fields[i] ?? "", value)).join(" · ");
    return several ? `${name(line)} · ${values}` : values;
  };
  // As the chart has them: columns without a breakdown, else values of the dimensions.
  const keys = lines.map((line, index) => {
    if (fields.length === 0) return `line_${index}`;
    const values = fields.map((_, i) => (line.isOther ? REST_VALUE : (line.breakdown[i] ?? "\0")));
    return (several ? [seriesKey(question, line.series), ...values] : values).join("\x1f");
  });
  const colors = colorsByValue(keys.filter((key) => key !== REST_VALUE));
  const dashes = dashesByValue(colors);
  return lines.map((line, index): TrendRow => {
    const key = keys[index] ?? "";
    const color = fields.length === 0 ? colorByPosition(index) : (colors.get(key) ?? OTHER_COLOR);
    const dash = fields.length === 0 ? dashByPosition(index) : (dashes.get(key) ?? 0);
    return { key, label: label(line), color, dash, line, format: valueFormat(line) };
  });
}

/** Filled in from the frame: the names that the decoder gives to series. */
const seriesKey = (_: Trend, series: number): string => `\0series${series}`;

/** The keys of rows with several series and a breakdown, with the names of the frame. */
export function withFrameKeys(rows: TrendRow[], { columns }: Frame): TrendRow[] {
  const series = columns.find(({ name, role }) => name === "series" && role === "dimension");
  if (!series) return rows;
  // One row per line in each bucket, in the order of the lines.
  const keyed = rows.map((row, index) => ({
    ...row,
    key: row.key.replace(/^\0series\d+/, String(series.values[index] ?? "")),
  }));
  const colors = colorsByValue(keyed.map(({ key }) => key));
  const dashes = dashesByValue(colors);
  return keyed.map((row) => ({ ...row, color: colors.get(row.key) ?? OTHER_COLOR, dash: dashes.get(row.key) ?? 0 }));
}

export const changePct = (value: number | null, earlier: number | null | undefined): number | null =>
  value === null || !earlier ? null : (100 * (value - earlier)) / Math.abs(earlier);

/** The earlier period: calendar ranges move by whole days of the zone, others by their length. */
export function earlierInterval(
  { start, end, zone, computedAt }: FrameContext,
  compare: Compare,
  range: Range,
): Required<Interval> {
  const until = Math.min(end, computedAt || end);
  const days = (count: number) => ({
    from: fromWallClock(toWallClock(start, zone) - count * DAY, zone),
    to: fromWallClock(toWallClock(until, zone) - count * DAY, zone),
  });
  if (compare === "week" || range === "this-week") return days(7);
  if (range === "today" || range === "yesterday") return days(1);
  if (range === "this-month") {
    const first = new Date(toWallClock(start, zone));
    const before = Date.UTC(first.getUTCFullYear(), first.getUTCMonth() - 1, 1);
    return days(Math.round((toWallClock(start, zone) - before) / DAY));
  }
  return { from: start - (until - start), to: start };
}

/** The selection of the earlier period. */
export function earlierSelection(selection: Selection, context: FrameContext, compare: Compare): Selection {
  const { compare: _, ...rest } = selection;
  return { ...rest, range: earlierInterval(context, compare, selection.range) };
}

export const pctWords = (value: number | null | undefined): string =>
  value === null || value === undefined ? "–" : formatPercent(value);

export const points = (value: number | null | undefined, earlier: number | null | undefined): number | null =>
  value === null || value === undefined || earlier === null || earlier === undefined ? null : value - earlier;

/** "−21.4 pts", of two percentages. */
export function pointsWords(difference: number | null): string {
  if (difference === null) return "";
  const rounded = Math.round(difference * 10) / 10;
  if (rounded === 0) return "±0 pts";
  return `${rounded > 0 ? "+" : "−"}${formatFixed(Math.abs(rounded), 1)} pts`;
}
