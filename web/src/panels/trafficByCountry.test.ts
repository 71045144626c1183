import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { GetTrafficByCountryResponseSchema } from "../gen/millrace/v1/dashboard_pb.ts";
import { DISPLAY, minute, minuteMs } from "./panels.fixture.ts";
import { shapeTrafficByCountry } from "./trafficByCountry.ts";

const VIEWS: Record<string, bigint> = { ES: 50n, DE: 40n, FR: 30n, US: 20n, ZZ: 10n, IT: 3n, PT: 2n };

const value = create(GetTrafficByCountryResponseSchema, {
  points: [0, 1].flatMap((at) =>
    Object.entries(VIEWS).map(([countryCode, views]) => ({
      bucket: minute(at),
      countryCode,
      views,
      visitors: 1n,
      incomplete: at === 1,
    })),
  ),
});

test("five countries and the sum of all others", () => {
  const { data } = shapeTrafficByCountry(value, DISPLAY);
  expect(data.series.map(({ label, total }) => [label, total])).toEqual([
    ["Spain", 100],
    ["Germany", 80],
    ["France", 60],
    ["United States", 40],
    ["Unknown", 20],
    ["Other (2)", 10],
  ]);
});

test("every bucket has every series", () => {
  const { data } = shapeTrafficByCountry(value, DISPLAY);
  expect(data.points).toEqual([
    { at: minuteMs(0), incomplete: false, values: { ES: 50, DE: 40, FR: 30, US: 20, ZZ: 10, other: 5 } },
    { at: minuteMs(1), incomplete: true, values: { ES: 50, DE: 40, FR: 30, US: 20, ZZ: 10, other: 5 } },
  ]);
});

test("the table has all countries", () => {
  expect(shapeTrafficByCountry(value, DISPLAY).table.rows).toHaveLength(14);
});
