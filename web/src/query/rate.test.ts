import { expect, test } from "vitest";
import { percentFactor, RATE } from "./rate.ts";

test("a rate is the first series by the second, as a fraction or as a percentage", () => {
  expect([RATE, "a/b", " 100 * A / B", "100*A/B"].map(percentFactor)).toEqual([100, 100, 1, 1]);
});

test("any other formula is no rate", () => {
  for (const formula of ["", "A", "B / A", "100 * B / A", "A / B + 1", "A / (A + B)", "10 * A / B"])
    expect(percentFactor(formula), formula).toBeUndefined();
});
