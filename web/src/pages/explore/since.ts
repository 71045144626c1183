// Since when the conversion of a funnel is another one.

import type { FunnelResult, FunnelTrendPoint } from "../../frame/detail.ts";
import { deviationOf } from "./funnelRows.ts";

export interface Since {
  /** The start of the first bucket with the new rate: Unix milliseconds. */
  at: number;
  beforePct: number;
  afterPct: number;
  deviation: number;
}

/** Every bucket is tried, so chance has more tries than with a single test. */
const MIN_DEVIATION = 4;

/**
 * The bucket that tells two rates apart best. The newest entries are left out as long as conversions usually take: their
 * rate is low because they entered recently.
 */
export function changedSince(result: FunnelResult, now: number): Since | undefined {
  const settled = now - 2 * (result.timeToConvert?.p90Ms ?? 0);
  const points = result.trend
    .toSorted((a, b) => a.at - b.at)
    .filter(({ incomplete }, index, sorted) => !incomplete || (sorted[index + 1]?.at ?? now) <= settled);
  const sum = (read: (point: FunnelTrendPoint) => number) => points.reduce((sum, point) => sum + read(point), 0);
  const all = { entered: sum((point) => point.entered), converted: sum((point) => point.converted) };
  let [entered, converted] = [0, 0];
  let best: Since | undefined;
  for (const { at, entered: ofBucket, converted: inBucket } of points) {
    const [after, convertedAfter] = [all.entered - entered, all.converted - converted];
    const deviation = deviationOf(convertedAfter, after, converted, entered);
    if (Math.abs(deviation) >= Math.max(MIN_DEVIATION, Math.abs(best?.deviation ?? 0)) && entered > 0 && ofBucket > 0) {
      best = { at, deviation, beforePct: (100 * converted) / entered, afterPct: (100 * convertedAfter) / after };
    }
    entered += ofBucket;
    converted += inBucket;
  }
  return best;
}
