// Mean retention by period, as lines: one for all visitors, or one per value of the breakdown.

import { colorsByValue, OTHER_COLOR } from "../frame/colors.ts";
import type { RetentionDetail } from "../frame/detail.ts";

export interface Curve {
  key: string;
  label: string;
  /** A CSS variable. */
  color: string;
  /** By period, in percent. */
  values: (number | null)[];
}

export interface CurveShape {
  /** "Week 1". */
  periods: string[];
  curves: Curve[];
  /** Top of the scale, in percent. */
  max: number;
  ticks: number[];
  /** Values of the breakdown without a line. */
  notShown: number;
}

const MAX_CURVES = 7;
const UNITS = { hour: "Hour", day: "Day", week: "Week", month: "Month" };

/** Period 0 is left out: it is always everyone. */
export function toCurves({ period, periods, overall, breakdown }: RetentionDetail, all: string): CurveShape {
  const shown = breakdown.slice(0, MAX_CURVES);
  const colors = colorsByValue(shown.map(({ value }) => value));
  const tail = (mean: (number | null)[]) => Array.from({ length: periods }, (_, index) => mean[index + 1] ?? null);
  const curves: Curve[] =
    shown.length === 0
      ? [{ key: "", label: all, color: "--c1", values: tail(overall.mean) }]
      : shown.map(({ value, mean }) => ({
          key: value,
          label: value,
          color: colors.get(value) ?? OTHER_COLOR,
          values: tail(mean),
        }));
  const highest = Math.max(0, ...curves.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const max = [4, 10, 20, 40, 60, 80, 100].find((each) => highest <= each) ?? 100;
  return {
    periods: Array.from({ length: periods }, (_, index) => `${UNITS[period]} ${index + 1}`),
    curves,
    max,
    ticks: [0, max / 2, max],
    notShown: breakdown.length - shown.length,
  };
}
