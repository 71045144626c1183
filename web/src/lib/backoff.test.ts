import { expect, test } from "vitest";
import { backoffDelayMs } from "./backoff.ts";

test("the delay doubles up to ten seconds", () => {
  expect([1, 2, 3, 4, 5, 6, 20].map((attempt) => backoffDelayMs(attempt, () => 1))).toEqual([
    500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000,
  ]);
});

test("the jitter covers the upper half of the delay", () => {
  expect(backoffDelayMs(3, () => 0)).toBe(1_000);
});
