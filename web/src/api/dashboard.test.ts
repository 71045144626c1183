import { toJson } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { QueryPanelRequestSchema } from "../gen/millrace/v1/dashboard_pb.ts";
import type { PanelQuery } from "../query/query.ts";
import { FakeServer } from "../test/fakeServer.ts";
import { createDashboardApi } from "./dashboard.ts";
import { grpcWebClient } from "./grpcWeb.ts";

/** What the server receives, as JSON. */
async function sent(query: Omit<PanelQuery, "panel" | "zone">): Promise<unknown> {
  const server = new FakeServer();
  const api = createDashboardApi(grpcWebClient("http://in-memory/", server.fetch));
  await api.query({ panel: "a", zone: "UTC", ...query }, new AbortController().signal);
  const [poll] = server.polls;
  if (!poll) throw new Error("nothing was sent");
  return toJson(QueryPanelRequestSchema, poll.request);
}
const base = { panel: "a", timeZone: "UTC", resultFormat: "RESULT_FORMAT_FRAME" };

test("a preset and an interval are never sent together", async () => {
  expect(await sent({ range: "this-month" })).toEqual({ ...base, timeRange: "TIME_RANGE_THIS_MONTH" });
  const range = { from: Date.UTC(2026, 10, 1), to: Date.UTC(2026, 10, 2, 0, 0, 0, 500) };
  expect(await sent({ range })).toEqual({
    ...base,
    interval: { start: "2026-11-01T00:00:00Z", end: "2026-11-02T00:00:00.500Z" },
  });
  expect(await sent({ range: { from: range.from } })).toEqual({ ...base, interval: { start: "2026-11-01T00:00:00Z" } });
});

test("several values of a dimension are one filter", async () => {
  const filters = [
    { dimension: "country_code", value: "ES" },
    { dimension: "page_url", value: "/" },
    { dimension: "country_code", value: "FR" },
  ];
  expect(await sent({ range: "1h", compare: "week", filters })).toEqual({
    ...base,
    timeRange: "TIME_RANGE_1H",
    compare: "COMPARE_WEEK_AGO",
    filters: [
      { dimension: "country_code", values: ["ES", "FR"] },
      { dimension: "page_url", values: ["/"] },
    ],
  });
});
