import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { GetSignupFunnelResponseSchema } from "../gen/millrace/v1/dashboard_pb.ts";
import { DISPLAY, minute } from "./panels.fixture.ts";
import { shapeSignupFunnel } from "./signupFunnel.ts";

test("rates come from the server and are null without started sign-ups", () => {
  const value = create(GetSignupFunnelResponseSchema, {
    buckets: [
      { bucket: minute(0), started: 10n, completed: 4n, conversionPct: 40 },
      { bucket: minute(1), started: 0n, completed: 1n, incomplete: true },
    ],
    started: 10n,
    completed: 5n,
    conversionPct: 50,
  });
  const { data, empty } = shapeSignupFunnel(value, DISPLAY);
  expect(data.points.map((point) => point.values.conversion)).toEqual([40, null]);
  expect(data).toMatchObject({ started: 10, completed: 5, conversion: 50 });
  expect(empty).toBe(false);
});

test("no sign-ups make the panel empty", () => {
  const value = create(GetSignupFunnelResponseSchema, { buckets: [{ bucket: minute(0) }] });
  expect(shapeSignupFunnel(value, DISPLAY).empty).toBe(true);
});
