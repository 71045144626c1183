// A funnel as bars: for each step one per value of the breakdown, and what was lost before it.

import { colorsByValue, OTHER_COLOR } from "../frame/colors.ts";
import { REST_VALUE } from "../frame/columns.ts";
import type { FunnelDetail, FunnelResult } from "../frame/detail.ts";

export interface FunnelBar {
  /** The value of the breakdown. Undefined for the whole funnel. */
  value: string | undefined;
  label: string;
  /** A CSS variable. */
  color: string;
  count: number;
  /** Lengths, in percent of the track: who reached the step, and who reached only the one before. */
  width: number;
  lostWidth: number;
  fromFirstPct: number | null;
  fromPreviousPct: number | null;
  medianMs: number | null;
  lost: number;
  /** Whether some of the entries can still convert: not all of them are lost. */
  running: boolean;
  lostPct: number | null;
}

export interface FunnelStepShape {
  /** From 1. */
  number: number;
  name: string;
  /** The whole funnel. */
  overall: FunnelBar;
  /** By value of the breakdown. Empty without one. */
  values: FunnelBar[];
}

/** How many values of a breakdown have bars. */
export const MAX_FUNNEL_VALUES = 7;

export interface FunnelShape {
  steps: FunnelStepShape[];
  /** Values of the breakdown without bars. */
  notShown: number;
}

export function toFunnelShape({ steps, overall, breakdown }: FunnelDetail): FunnelShape {
  const shown = breakdown.slice(0, MAX_FUNNEL_VALUES);
  const colors = colorsByValue(shown.map(({ value }) => value).filter((value) => value !== REST_VALUE));
  return {
    steps: steps.map((name, index) => ({
      number: index + 1,
      name,
      overall: toBar(overall, index, "--c1", undefined),
      values: shown.map((result) => toBar(result, index, colors.get(result.value) ?? OTHER_COLOR, result.value)),
    })),
    notShown: breakdown.length - shown.length,
  };
}

/** Each value is drawn on its own scale, from its first step: conversions are compared, not sizes. */
function toBar({ steps, running }: FunnelResult, index: number, color: string, value: string | undefined): FunnelBar {
  const step = steps[index];
  const first = steps[0]?.count ?? 0;
  const before = index === 0 ? undefined : steps[index - 1]?.count;
  const count = step?.count ?? 0;
  const lost = before === undefined ? 0 : Math.max(0, before - count);
  const share = (part: number) => (first > 0 ? Math.min(100, (100 * part) / first) : 0);
  return {
    value,
    label: value ?? "",
    color,
    count,
    width: share(count),
    lostWidth: share(lost),
    fromFirstPct: step?.fromFirstPct ?? null,
    fromPreviousPct: step?.fromPreviousPct ?? null,
    medianMs: step?.medianMs ?? null,
    lost,
    running: running > 0,
    lostPct: before ? (100 * lost) / before : null,
  };
}
