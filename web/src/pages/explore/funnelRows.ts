// The values of a funnel's breakdown beside those of the period before.

import type { FunnelDetail, FunnelResult as Funnelled } from "../../frame/detail.ts";
import { fieldValueWords, points } from "./result.ts";
import { words } from "./strings.ts";

export interface FunnelRow {
  key: string;
  label: string;
  isAll: boolean;
  result: Funnelled;
  earlier?: Funnelled;
}

export function funnelRows(detail: FunnelDetail, earlier: FunnelDetail | undefined): FunnelRow[] {
  const all: FunnelRow = { key: "all", label: words.everyone, isAll: true, result: detail.overall };
  if (earlier) all.earlier = earlier.overall;
  return [
    all,
    ...detail.breakdown.map((result): FunnelRow => {
      const before = earlier?.breakdown.find(({ value }) => value === result.value);
      const row: FunnelRow = {
        key: `value:${result.value}`,
        label: fieldValueWords(detail.field, result.value),
        isAll: false,
        result,
      };
      return before ? { ...row, earlier: before } : row;
    }),
  ];
}

/** The change of a step, if it is hardly by chance. */
export interface Change {
  field: string;
  row: FunnelRow;
  /** From 0. */
  step: number;
  /** Of the share of the step before, in percentage points. */
  change: number;
  /** In standard errors. */
  deviation: number;
  /** The property and its value that the funnel was restricted to. */
  within?: { field: string; row: FunnelRow };
}

/** Fewer say nothing. */
const MIN_ENTRIES = 20;
/** Of pairs of shares that differ by chance alone, one in a thousand differs more. */
const MIN_DEVIATION = 3.3;

/** How many standard errors two shares differ by: a test of two proportions. */
export function deviationOf(converted: number, of: number, earlier: number, ofEarlier: number): number {
  if (of < MIN_ENTRIES || ofEarlier < MIN_ENTRIES) return 0;
  const pooled = (converted + earlier) / (of + ofEarlier);
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / of + 1 / ofEarlier));
  return error === 0 ? 0 : (converted / of - earlier / ofEarlier) / error;
}

/** How many percentage points the steps of a row have to change by, so that it is hardly by chance: the largest of them. */
export function smallestChange({ result, earlier }: FunnelRow): number {
  const ofSteps = result.steps.slice(1).map((step, index) => {
    const [of, ofEarlier] = [result.steps[index]?.count ?? 0, earlier?.steps[index]?.count ?? 0];
    const share = (step.count + (earlier?.steps[index + 1]?.count ?? 0)) / (of + ofEarlier);
    return 100 * MIN_DEVIATION * Math.sqrt(share * (1 - share) * (1 / of + 1 / ofEarlier));
  });
  return Math.max(...ofSteps);
}

/** How many could go on to a step, now and in the period before: what its change is a change of. */
export const entriesOf = ({ result, earlier }: FunnelRow, step: number): [now: number, before: number] => [
  result.steps[step - 1]?.count ?? 0,
  earlier?.steps[step - 1]?.count ?? 0,
];

/** What a change of a step says: "chance" if it can be one, "new" if nobody did the step before. */
export type Certainty = "certain" | "chance" | "new";

export function certainty(row: FunnelRow, step: number): Certainty {
  const [now, before] = [row.result.steps[step], row.earlier?.steps[step]];
  if (!now || !before || before.count === 0) return "new";
  const [of, ofEarlier] = entriesOf(row, step);
  return Math.abs(deviationOf(now.count, of, before.count, ofEarlier)) < MIN_DEVIATION ? "chance" : "certain";
}

function changesOfRow(field: string, row: FunnelRow): Change[] {
  const { result, earlier } = row;
  if (!earlier) return [];
  return result.steps.flatMap((step, index): Change[] => {
    const before = earlier.steps[index];
    const change = points(step.fromPreviousPct, before?.fromPreviousPct);
    const [of, ofEarlier] = entriesOf(row, index);
    const deviation = deviationOf(step.count, of, before?.count ?? 0, ofEarlier);
    if (index === 0 || change === null || Math.abs(deviation) < MIN_DEVIATION) return [];
    return [{ field, row, step: index, change, deviation }];
  });
}

/** The step and the value that fell most: of the values if one of them fell, else of everyone. */
export function worstChange(rows: FunnelRow[], field: string): Change | undefined {
  const falls = rows.flatMap((row) => changesOfRow(field, row)).filter(({ change }) => change < 0);
  const ofValues = falls.filter(({ row }) => !row.isAll);
  return (ofValues.length > 0 ? ofValues : falls).sort((a, b) => a.change - b.change)[0];
}

/** The changes of all values and steps that are hardly by chance. */
export const changesOf = (field: string, detail: FunnelDetail, earlier: FunnelDetail): Change[] =>
  funnelRows(detail, earlier)
    .filter(({ isAll }) => !isAll)
    .flatMap((row) => changesOfRow(field, row));

/**
 * The value that a change of a step is limited to: the rest of the people did not change, and there are enough of them that
 * the same change would show.
 */
export function concentratedIn(
  field: string,
  detail: FunnelDetail,
  earlier: FunnelDetail,
  step: number,
): Change | undefined {
  const [all, ...rows] = funnelRows(detail, earlier);
  if (!all) return undefined;
  const counts = ({ result, earlier }: FunnelRow) =>
    [result, earlier].flatMap((period) => [period?.steps[step - 1]?.count ?? 0, period?.steps[step]?.count ?? 0]);
  const isConcentrated = ({ row }: Change): boolean => {
    const [of = 0, converted = 0, ofEarlier = 0, before = 0] = counts(row);
    const [restOf = 0, rest = 0, restOfEarlier = 0, restBefore = 0] = counts(all).map(
      (n, at) => n - (counts(row)[at] ?? 0),
    );
    const changed = deviationOf(rest, restOf, restBefore, restOfEarlier);
    const same = deviationOf((restOf * converted) / of, restOf, (restOfEarlier * before) / ofEarlier, restOfEarlier);
    return Math.abs(changed) < MIN_DEVIATION && Math.abs(same) >= MIN_DEVIATION;
  };
  return rows
    .flatMap((row) => changesOfRow(field, row))
    .filter((change) => change.step === step && change.change < 0)
    .find(isConcentrated);
}
