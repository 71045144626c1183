// The order in which the totals of a trend are read: as bars, and as rows of a table.

import type { TrendLine } from "./detail.ts";

/** A number or a version: 404, 2026.326, v1.10.0-rc.1. */
const ORDINAL = /^v?\d+([-+._][\da-z]+)*$/i;
const collator = new Intl.Collator("en", { numeric: true });
const missing = (value: string) => value === "" || value === "(none)";

/**
 * Numbers and versions the highest first, other values by the total, the largest first. Series stay in the order of the
 * question, and the rest of a breakdown is last.
 */
export function inReadingOrder<Row>(rows: Row[], lineOf: (row: Row) => TrendLine): Row[] {
  const lines = rows.map(lineOf);
  const values = lines.flatMap(({ isOther, breakdown: [value = ""] }) => (isOther || missing(value) ? [] : [value]));
  // Several fields are no scale.
  const ordinal = lines.every(({ breakdown }) => breakdown.length < 2) && values.every((each) => ORDINAL.test(each));
  const total = (line: TrendLine) => line.total ?? Number.NEGATIVE_INFINITY;
  const compare = (a: TrendLine, b: TrendLine): number => {
    const [x = "", y = ""] = [a.breakdown[0], b.breakdown[0]];
    if (!ordinal) return total(a) === total(b) ? 0 : total(b) - total(a);
    return Number(missing(x)) - Number(missing(y)) || collator.compare(y, x);
  };
  // Without a breakdown every line is a series.
  if (lines.every(({ isOther, breakdown }) => !isOther && breakdown.length === 0)) return rows;
  return rows.toSorted((one, other) => {
    const [a, b] = [lineOf(one), lineOf(other)];
    return a.series - b.series || Number(a.isOther) - Number(b.isOther) || compare(a, b);
  });
}
