import { expect, test } from "vitest";
import { backoffMs } from "./backoff.ts";

test("doubles up to ten seconds", () => {
  expect([1, 2, 3, 4, 5, 6, 20].map((attempt) => backoffMs(attempt, () => 1))).toEqual([
    500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000,
  ]);
});

test("is spread over the upper half", () => {
  expect(backoffMs(3, () => 0)).toBe(1_000);
});
