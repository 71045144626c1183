import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { GetErrorRateResponseSchema } from "../gen/millrace/v1/dashboard_pb.ts";
import { shapeErrorRate } from "./errorRate.ts";
import { DISPLAY, minute } from "./panels.fixture.ts";

test("the rate of the range is weighted by events, not the mean of the bucket rates", () => {
  const value = create(GetErrorRateResponseSchema, {
    points: [
      { bucket: minute(0), errors: 1n, events: 10n, errorRatePct: 10 },
      { bucket: minute(1), errors: 0n, events: 990n, errorRatePct: 0 },
    ],
    thresholdPct: 1,
  });
  const { data } = shapeErrorRate(value, DISPLAY);
  expect(data.rate).toBeCloseTo(0.1);
  expect(data).toMatchObject({ errors: 1, events: 1000, threshold: 1, bucketsAbove: 1 });
});

test("no events make the panel empty, without a division by zero", () => {
  const { data, empty } = shapeErrorRate(create(GetErrorRateResponseSchema, { points: [{}] }), DISPLAY);
  expect(data.rate).toBe(0);
  expect(empty).toBe(true);
});
