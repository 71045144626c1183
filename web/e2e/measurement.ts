// Figures with thresholds. Every figure is printed; a missed threshold fails the measurement after the last one.

import { afterAll, expect } from "vitest";

export interface Measurement {
  /** Prints a figure. `limit` is the largest value that is good enough. */
  record(name: string, value: number, unit: string, limit?: number): void;
}

/** The figures of one file. */
export function measurement(): Measurement {
  const missed: string[] = [];
  afterAll(() => expect(missed, "missed thresholds").toEqual([]));
  return {
    record(name, value, unit, limit) {
      const shown = `${name}: ${Math.abs(value) < 100 ? value.toFixed(1) : Math.round(value)} ${unit}`;
      const line = limit === undefined ? shown : `${shown} (threshold ${limit} ${unit})`;
      console.log(line);
      if (limit !== undefined && !(value <= limit)) missed.push(line);
    },
  };
}

export const quantile = (values: number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};

export const median = (values: number[]): number => quantile(values, 0.5);
