import { expect, test } from "vitest";
import type { FunnelResult } from "../../frame/detail.ts";
import { changedSince } from "./since.ts";

const HOUR = 3_600_000;
const result = (rates: number[], entered = 40): FunnelResult => ({
  value: "DE",
  steps: [],
  trend: rates.map((rate, hour) => ({
    at: hour * HOUR,
    entered,
    converted: Math.round(entered * rate),
    pct: 100 * rate,
    incomplete: true,
  })),
  timeToConvert: { averageMs: 60_000, medianMs: 60_000, p90Ms: 300_000, histogram: [], intervalMs: 1000 },
  running: 10,
});

test("the hour since which the rate is another one is found", () => {
  const since = changedSince(result([0.7, 0.65, 0.7, 0.7, 0.3, 0.25, 0.3]), 7 * HOUR + 600_000);
  expect(since?.at).toBe(4 * HOUR);
  expect(since?.beforePct).toBeCloseTo(68.75, 1);
  expect(since?.afterPct).toBeCloseTo(27.5, 1);
});

test("neither chance, nor few entries, nor those of the last minutes are a change", () => {
  expect(changedSince(result([0.7, 0.65, 0.72, 0.6, 0.7]), 5 * HOUR + 600_000)).toBeUndefined();
  expect(changedSince(result([0.7, 0.7, 0.1, 0.1], 4), 4 * HOUR + 600_000)).toBeUndefined();
  expect(changedSince(result([0.7, 0.7, 0.7, 0.7, 0]), 4 * HOUR + 60_000)).toBeUndefined();
});
