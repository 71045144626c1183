// A frame with a dimension as bars.

import { formatCount } from "../lib/format.ts";
import { cellFormat, dimensionLabel } from "./cellText.ts";
import { colorByPosition } from "./colors.ts";
import { columnsByRole, type DimensionValue, REST_VALUE, toNumber } from "./columns.ts";
import type { Frame, FrameColumn } from "./frame.ts";

export interface RankingMeasure {
  key: string;
  label: string;
  unit: string;
  color: string;
  whole: boolean;
  /** Of all values that are drawn, and zero. */
  min: number;
  max: number;
}

export interface RankingBar {
  key: string;
  label: string;
  /** The sum of the rows beyond the top. */
  isOther: boolean;
  /** The value that stands for all those that the rollup does not keep apart. */
  isRest: boolean;
  /** Which value of a dimension it is. Absent if it is made of several. */
  value?: DimensionValue;
  /** One per measure. */
  values: (number | null)[];
  texts: string[];
  /** Details, for example "Visitors 1,234". */
  details: string[];
}

export interface Ranking {
  measures: RankingMeasure[];
  bars: RankingBar[];
  /** Rows that are neither drawn nor added up. */
  notShown: number;
}

/** In the order of the statement, which usually sorts. */
export function toRanking(frame: Frame, { top }: { top: number }): Ranking | null {
  const { time, dimension, measure, detail } = columnsByRole(frame);
  const names = dimension.length > 0 ? dimension : time;
  if (names.length === 0 || measure.length === 0) return null;
  const { context } = frame;
  const shown = Math.min(frame.rows, top);
  const formats = measure.map((column) => cellFormat(column, context));
  const detailFormats = detail.map((column) => cellFormat(column, context));

  const [only] = names;
  const filterable = names.length === 1 && only?.role === "dimension" && only.type === "text";
  const bars: RankingBar[] = [];
  for (let row = 0; row < shown; row += 1) {
    bars.push({
      key: String(row),
      label: names.map((column) => dimensionLabel(column.values[row], column, context)).join(" · "),
      isOther: false,
      isRest: names.some(({ values }) => values[row] === REST_VALUE),
      ...(filterable && { value: { dimension: only.name, cell: only.values[row] ?? null } }),
      values: measure.map((column) => toNumber(column.values[row])),
      texts: measure.map((column, i) => formats[i]?.(column.values[row]) ?? ""),
      details: detail.map((column, i) => `${column.label} ${detailFormats[i]?.(column.values[row])}`),
    });
  }
  const rest = frame.rows - shown;
  const additive = measure.every((column) => column.additive);
  if (rest > 0 && additive) {
    const sums = measure.map((column) => sumFrom(column, shown, frame.rows));
    bars.push({
      key: "other",
      label: `Other (${formatCount(rest)})`,
      isOther: true,
      isRest: false,
      values: sums,
      texts: sums.map((sum, i) => formats[i]?.(sum) ?? ""),
      details: [],
    });
  }
  const measures = measure.map((column, index) => ({
    key: column.name,
    label: column.label,
    unit: column.unit,
    color: colorByPosition(index),
    whole: column.type === "int",
    min: 0,
    max: 0,
  }));
  // Measures with the same unit share their scale, so that their bars can be compared. "Other" is a sum of many, and would
  // make all others short.
  for (const { values, isOther } of bars) {
    if (isOther) continue;
    values.forEach((value, index) => {
      const own = measures[index];
      if (value === null || !own) return;
      for (const target of measures) {
        if (target.unit !== own.unit) continue;
        target.min = Math.min(target.min, value);
        target.max = Math.max(target.max, value);
      }
    });
  }
  return { measures, bars, notShown: additive ? 0 : Math.max(0, rest) };
}

function sumFrom(column: FrameColumn, from: number, to: number): number {
  let sum = 0;
  for (let row = from; row < to; row += 1) sum += toNumber(column.values[row]) ?? 0;
  return sum;
}
