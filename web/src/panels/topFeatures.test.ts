import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { GetTopFeaturesResponseSchema } from "../gen/millrace/v1/dashboard_pb.ts";
import { DISPLAY } from "./panels.fixture.ts";
import { shapeTopFeatures } from "./topFeatures.ts";

test("features keep the server's order", () => {
  const value = create(GetTopFeaturesResponseSchema, {
    features: [
      { feature: "export", uniqueUsers: 1500n, events: 4000n },
      { feature: "invite", uniqueUsers: 20n, events: 9000n },
    ],
  });
  const { data, headline } = shapeTopFeatures(value, DISPLAY);
  expect(data.map(({ name }) => name)).toEqual(["export", "invite"]);
  expect(headline).toEqual(["export leads with 1,500 unique users"]);
});

test("no features make the panel empty", () => {
  expect(shapeTopFeatures(create(GetTopFeaturesResponseSchema), DISPLAY).empty).toBe(true);
});
