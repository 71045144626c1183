import { expect, test } from "vitest";
import { addSample, currentRate, ratesPerSecond, type Sample, WINDOW_SECONDS } from "./rate.ts";

const second = (index: number, count: number): Sample => ({ at: index * 1_000, count });

test("each second has the events that were reported for it", () => {
  const samples = [second(0, 100), second(1, 120), second(2, 150), second(3, 150)];
  expect(ratesPerSecond(samples, 3_000).slice(-3)).toEqual([20, 30, 0]);
  expect(ratesPerSecond(samples, 3_000)[0], "before the first report").toBeNull();
});

test("silence means that nothing has changed, and the report after it is of its own second", () => {
  const samples = [second(0, 10), second(5, 60)];
  expect(ratesPerSecond(samples, 5_000).slice(-5)).toEqual([0, 0, 0, 0, 50]);
  expect(ratesPerSecond(samples, 8_000).slice(-3)).toEqual([0, 0, 0]);
});

test("a restarted server begins anew", () => {
  expect(addSample([second(0, 500)], second(1, 3))).toEqual([second(1, 3)]);
});

test("only what the window needs is kept", () => {
  let samples: Sample[] = [];
  for (let index = 0; index < 300; index += 1) samples = addSample(samples, second(index, index * 7));
  expect(samples.length).toBeLessThan(WINDOW_SECONDS + 4);
  expect(ratesPerSecond(samples, 299_000).every((rate) => rate === 7)).toBe(true);
});

test("the current rate is a mean over ten seconds, of those that are known", () => {
  expect(currentRate([null, null, 4])).toBeUndefined();
  expect(currentRate([null, 2, 4])).toBe(3);
  expect(currentRate([1000, ...Array<number>(10).fill(5)])).toBe(5);
});
