import { expect, test } from "vitest";
import { EventSource } from "../../api/messages.ts";
import { addReading, type Reading, rateOf } from "./sourceRates.ts";

const source = (library: string, accepted: bigint) => ({ source: EventSource.GRPC, keyId: "k", library, accepted });

test("the rate is that of the last minute, of each source", () => {
  let readings: Reading[] = [];
  expect(rateOf(readings, source("a", 0n))).toBeUndefined();
  readings = addReading(readings, [source("a", 1_000n)], 0);
  expect(rateOf(readings, source("a", 0n)), "one reading tells nothing").toBeUndefined();
  for (let second = 5; second <= 300; second += 5) {
    // Ten events a second, until it stops; another source begins late.
    const sources = [source("a", 1_000n + BigInt(Math.min(second, 200)) * 10n), source("b", second < 280 ? 0n : 60n)];
    readings = addReading(readings, sources, second * 1_000);
    if (second === 200) expect(rateOf(readings, source("a", 0n))).toBe(10);
  }
  expect(readings.length).toBe(13);
  expect(rateOf(readings, source("a", 0n))).toBe(0);
  expect(rateOf(readings, source("b", 0n))).toBe(1);
});

test("a restarted server counts from zero", () => {
  let readings = addReading([], [source("a", 50n)], 0);
  readings = addReading(readings, [source("a", 10n)], 5_000);
  expect(rateOf(readings, source("a", 0n))).toBeUndefined();
  readings = addReading(readings, [source("a", 20n)], 10_000);
  expect(rateOf(readings, source("a", 0n))).toBe(2);
});
