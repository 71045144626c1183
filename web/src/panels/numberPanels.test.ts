import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  GetLiveVisitorsResponseSchema,
  GetTopPagesResponseSchema,
  GetTrafficAnomalyResponseSchema,
} from "../gen/millrace/v1/dashboard_pb.ts";
import { shapeLiveVisitors } from "./liveVisitors.ts";
import { DISPLAY } from "./panels.fixture.ts";
import { shapeTopPages } from "./topPages.ts";
import { shapeTrafficAnomaly } from "./trafficAnomaly.ts";

test("live visitors: the summary uses the singular for one", () => {
  const value = create(GetLiveVisitorsResponseSchema, { uniqueVisitors: 1n, totalViews: 3n, avgDurationMs: 1500 });
  expect(shapeLiveVisitors(value).summary).toBe(
    "1 visitor in the last 5 minutes: 3 page views, 1.5\u00a0s on average.",
  );
});

test("traffic anomaly: without page views a week ago there is no change", () => {
  const { data, summary } = shapeTrafficAnomaly(create(GetTrafficAnomalyResponseSchema, { currentViews: 5n }));
  expect(data.change).toBeNull();
  expect(summary).toContain("no comparison");
});

test("top pages: durations are not rounded", () => {
  const value = create(GetTopPagesResponseSchema, {
    pages: [{ pageUrl: "/", views: 10n, visitors: 7n, avgDurationMs: 12.5 }],
  });
  expect(shapeTopPages(value, DISPLAY).table.rows).toEqual([["/", 10, 7, 12.5]]);
});
