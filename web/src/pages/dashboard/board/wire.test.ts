import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { decode, encode } from "../../../api/codec.ts";
import { DASHBOARD } from "../../../gen/millrace/v1/insights_codec.ts";
import { DashboardSchema } from "../../../gen/millrace/v1/insights_pb.ts";
import { toBoard, toDashboard } from "./wire.ts";

const sent = create(DashboardSchema, {
  name: "shop",
  title: "Shop",
  description: "In the morning",
  project: "web",
  range: { timeRange: 7 },
  etag: "v1",
  items: [
    {
      content: { case: "panel", value: "active_users" },
      layout: { x: 0, y: 0, width: 2, height: 2 },
      placement: { x: 0, y: 0, width: 2, height: 2 },
    },
    {
      title: "Orders",
      content: { case: "trend", value: { series: [{ eventName: "purchase" }], breakdown: ["country_code"] } },
      chart: 4,
      placement: { x: 2, y: 0, width: 6, height: 4 },
    },
    {
      content: {
        case: "funnel",
        value: { steps: [{ eventName: "a" }, { eventName: "b" }], window: { seconds: 3600n } },
      },
      placement: { x: 0, y: 4, width: 6, height: 4 },
      error: "",
    },
    {
      content: { case: "insight", value: "gone" },
      placement: { x: 6, y: 4, width: 6, height: 4 },
      error: "no insight",
    },
  ],
});

test("a dashboard that is saved unchanged is the same, with the places that were seen", () => {
  const board = toBoard(decode(DASHBOARD, toBinary(DashboardSchema, sent)));
  expect(board.automatic).toBe(false);
  expect(board.items.map(({ id, error }) => [id, error])).toEqual([
    ["0", undefined],
    ["1", undefined],
    ["2", undefined],
    ["3", "no insight"],
  ]);
  const saved = fromBinary(DashboardSchema, encode(DASHBOARD, toDashboard(board)));
  for (const item of sent.items) {
    item.layout = item.placement;
    item.placement = undefined;
    item.error = "";
  }
  expect(saved).toEqual(sent);
});

test("a dashboard without places stays one", () => {
  const message = create(DashboardSchema, {
    name: "default",
    title: "Overview",
    items: [{ content: { case: "panel", value: "a" }, placement: { x: 0, y: 0, width: 6, height: 4 } }],
  });
  const board = toBoard(decode(DASHBOARD, toBinary(DashboardSchema, message)));
  expect(board.automatic).toBe(true);
  expect(toDashboard(board).items?.[0]).not.toHaveProperty("layout");
});
