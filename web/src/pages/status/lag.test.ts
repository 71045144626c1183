import { expect, test } from "vitest";
import { addLag, type LagSample, lagOf } from "./lag.ts";

const NOW = 1_000_000;
const samples = (...pairs: [at: number, oldest: number | undefined][]): LagSample[] =>
  pairs.map(([at, oldest]) => ({ at: NOW + at, oldest: oldest === undefined ? undefined : NOW + oldest }));

test("when all events have landed, nothing waits", () => {
  expect(lagOf([], NOW)).toEqual({ age: 0, mood: "none", trend: "steady" });
  expect(lagOf(samples([-5_000, -6_000], [-1_000, undefined]), NOW)).toMatchObject({ age: 0, mood: "none" });
});

test("an age of seconds is usual", () => {
  expect(lagOf(samples([-1_000, -1_500]), NOW)).toEqual({ age: 1_500, mood: "usual", trend: "steady" });
});

test("the age grows while the same event waits, also in silence", () => {
  expect(lagOf(samples([-20_000, -25_000]), NOW)).toEqual({ age: 25_000, mood: "late", trend: "growing" });
  expect(lagOf(samples([-90_000, -95_000]), NOW)).toMatchObject({ mood: "danger", trend: "growing" });
});

test("a backlog that is worked off falls", () => {
  expect(lagOf(samples([-12_000, -80_000], [-1_000, -30_000]), NOW)).toEqual({
    age: 30_000,
    mood: "late",
    trend: "falling",
  });
});

test("an age that stays is steady, and without an earlier report there is no trend", () => {
  expect(lagOf(samples([-11_000, -41_000], [-100, -30_000]), NOW).trend).toBe("steady");
  expect(lagOf(samples([-1_000, -90_000]), NOW).trend).toBe("steady");
});

test("only what the trend needs is kept", () => {
  let kept: LagSample[] = [];
  for (let index = 0; index < 100; index += 1) kept = addLag(kept, { at: index * 1_000, oldest: 0 });
  expect(kept.length).toBe(11);
  expect(kept[0]?.at).toBe(89_000);
});
