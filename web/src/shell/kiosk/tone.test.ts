import { expect, test } from "vitest";
import { numberFrame } from "../../test/fakeLive.ts";
import { isOverThreshold, toneOf } from "./tone.ts";

test("the lead figure is compared with the threshold", () => {
  const frame = (value: number, threshold: number | null) => ({ ...numberFrame(value), threshold });
  expect(isOverThreshold(frame(1.1, 1))).toBe(true);
  expect(isOverThreshold(frame(1, 1))).toBe(false);
  expect(isOverThreshold(frame(5, null))).toBe(false);
  expect(isOverThreshold({ ...frame(5, 1), figures: [] })).toBe(false);
  expect(isOverThreshold(undefined)).toBe(false);
});

test("red is for figures, amber for figures that may be old", () => {
  expect(toneOf("live", 0, 0)).toBeUndefined();
  expect(toneOf("polling", 0, 1)).toBe("danger");
  expect(toneOf("live", 2, 0)).toBe("warn");
  expect(toneOf("live", 2, 1)).toBe("danger");
  for (const phase of ["stale", "offline", "denied"] as const) expect(toneOf(phase, 0, 1)).toBe("warn");
});
