import { expect, test } from "vitest";
import { oneOf, RATE_SECONDS, Rates, shownPercent } from "./rates.ts";

const NOW = 1_800_000_000_500;

test("the note is about the last ten seconds", () => {
  const rates = new Rates();
  rates.add(NOW - 30_000, 20, 5_000, 0);
  rates.add(NOW - 5_000, 20, 380, 7);
  rates.add(NOW, 5, 100, 0);
  expect(rates.sampling(NOW)).toEqual({ shown: 25, leftOut: 480, unexamined: 7 });
  expect(oneOf(rates.sampling(NOW))).toBe(20);
});

test("a second that comes round again starts at zero", () => {
  const rates = new Rates();
  rates.add(NOW, 5, 0, 0);
  rates.add(NOW + (RATE_SECONDS + 1) * 1_000, 1, 0, 0);
  expect(rates.sampling(NOW + (RATE_SECONDS + 1) * 1_000).shown).toBe(1);
});

test("the line has the complete seconds", () => {
  const rates = new Rates();
  rates.add(NOW - 1_000, 5, 10, 0);
  rates.add(NOW, 99, 0, 0);
  const line = rates.perSecond(NOW, 0);
  expect(line).toHaveLength(RATE_SECONDS);
  expect(line.slice(-2)).toEqual([0, 15]);
  // What was before nobody has counted.
  expect(rates.perSecond(NOW, NOW - 2_500)).toEqual([0, 15]);
  expect(rates.perSecond(NOW, NOW)).toEqual([]);
});

test("one of none", () => {
  expect(oneOf({ shown: 0, leftOut: 9, unexamined: 0 })).toBe(0);
  expect(oneOf({ shown: 10, leftOut: 1, unexamined: 0 })).toBe(1);
  expect(shownPercent({ shown: 10, leftOut: 1, unexamined: 0 })).toBe(91);
  expect(shownPercent({ shown: 1_000, leftOut: 1, unexamined: 0 })).toBe(99);
  expect(shownPercent({ shown: 1, leftOut: 0, unexamined: 0 })).toBe(100);
});
