// Panels and questions of Explore in one stream, and what follows from the costs of questions.

import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import type { FakeServer } from "../test/fakeServer.ts";
import { advance, figure, hubForEachTest, query, type TestHub, trend } from "../test/testHub.ts";
import { REOPEN_MS } from "./hub.ts";
import { EXPLORE_POLL_INTERVAL_MS, POLL_INTERVAL_MS, pollIntervalMs } from "./poller.ts";

let hub: TestHub;
let server: FakeServer;

hubForEachTest((fresh) => {
  hub = fresh;
  server = fresh.server;
});

const signups = trend("signup_completed");

async function watchBoth() {
  const tab = hub.tab();
  tab.watch(query("a"), signups);
  await advance(100);
  return tab;
}

test("one stream serves panels and questions, each with its own result", async () => {
  const tab = await watchBoth();
  expect(server.streams).toHaveLength(1);
  const [panel, question] = server.stream.request.queries;
  expect(panel).toMatchObject({ panel: "a", explore: { case: undefined } });
  expect(question).toMatchObject({ panel: "", filters: [] });
  expect(question?.explore).toMatchObject({
    case: "trend",
    value: { series: [{ eventName: "signup_completed" }], range: { timeRange: 1, timeZone: "UTC" } },
  });
  expect(figure(tab.state("a"))).toBe(1);
  expect(tab.stateOf(signups)).toMatchObject({ status: "live", frame: { detail: { kind: "trend" } } });
  server.stream.pushTrend(5);
  await advance();
  expect(figure(tab.stateOf(signups))).toBe(5);
  expect(figure(tab.state("a"))).toBe(1);
});

test("the cost and the distance between results are those of the stream", async () => {
  server.minInterval = { seconds: 90n };
  const tab = await watchBoth();
  expect(tab.stateOf(signups)?.frame?.cost).toEqual({
    rowsRead: 1_000,
    bytesRead: 20_000,
    elapsedMs: 200,
    minIntervalMs: 90_000,
  });
});

test("what a question cannot answer is its failed state, in the server's words, until the server can", async () => {
  server.exploreStale = "the query would read 900 million rows, and the budget is 500 million";
  const tab = await watchBoth();
  expect(tab.stateOf(signups)).toMatchObject({ status: "failed", reason: server.exploreStale });
  expect(tab.state("a")?.status).toBe("live");
  server.stream.pushTrend(3);
  await advance();
  expect(tab.stateOf(signups)).toMatchObject({ status: "live" });
  server.stream.push({ id: server.stream.request.queries[1]?.id, staleReason: "ClickHouse is restarting" });
  await advance();
  expect(tab.stateOf(signups), "with a result it is stale").toMatchObject({ status: "stale" });
  expect(figure(tab.stateOf(signups))).toBe(3);
});

test("a rejected question fails alone, and a busy server is asked again", async () => {
  const tab = await watchBoth();
  server.stream.pushError("", Code.InvalidArgument, "filter: no such operator");
  await advance();
  expect(tab.stateOf(signups)).toMatchObject({ status: "failed", reason: "filter: no such operator" });
  expect(tab.state("a")?.status).toBe("live");
  tab.retry();
  await advance(100);
  expect(tab.stateOf(signups)?.status).toBe("live");

  const other = trend("page_view");
  tab.watch(other);
  await advance(100);
  server.stream.pushError("", Code.ResourceExhausted, "too many subscriptions");
  await advance();
  expect(tab.stateOf(other), "the last result stays").toMatchObject({ status: "stale" });
  const opened = server.streams.length;
  await advance(REOPEN_MS + 1_000);
  expect(server.streams.length).toBe(opened + 1);
  expect(tab.stateOf(other)?.status).toBe("live");
});

test("without a stream, questions are asked far less often than panels, and not at once", async () => {
  server.minInterval = { seconds: 60n };
  const tab = await watchBoth();
  server.buffered = true;
  server.stream.fail();
  await advance(58_000);
  const panels = server.polls.length;
  expect(panels).toBeGreaterThan(58_000 / (POLL_INTERVAL_MS * 1.3));
  expect(server.trendCalls, "the result that is held serves for its interval").toHaveLength(0);
  expect(tab.stateOf(signups)?.status).toBe("stale");
  server.value = 9;
  await advance(10_000);
  expect(server.trendCalls).toHaveLength(1);
  expect(server.trendCalls[0]?.request).toMatchObject({ series: [{ eventName: "signup_completed" }] });
  expect(tab.stateOf(signups)).toMatchObject({ status: "live", frame: { cost: { minIntervalMs: 60_000 } } });
  expect(figure(tab.stateOf(signups))).toBe(9);
  await advance(50_000);
  expect(server.trendCalls, "the distance is kept").toHaveLength(1);
});

test("questions are asked at a distance that follows from what they cost", () => {
  const frame = (elapsedMs: number, minIntervalMs?: number) =>
    ({ cost: { rowsRead: 0, bytesRead: 0, elapsedMs, minIntervalMs } }) as never;
  expect(pollIntervalMs(query("a"), undefined)).toBe(POLL_INTERVAL_MS);
  expect(pollIntervalMs(signups, undefined)).toBe(EXPLORE_POLL_INTERVAL_MS);
  expect(pollIntervalMs(signups, frame(4_000))).toBe(80_000);
  expect(pollIntervalMs(signups, frame(10, 45_000))).toBe(45_000);
});

test("a tab asks a question once by a call", async () => {
  const tab = await watchBoth();
  const id = tab.call({
    method: "query",
    query: trend("page_view", { filters: [{ dimension: "plan", value: "pro" }] }),
  });
  await advance(100);
  expect(tab.messages.at(-1)).toMatchObject({ type: "result", id, result: { detail: { kind: "trend" } } });
  expect(server.trendCalls[0]?.request.filter).toMatchObject({
    condition: { case: "field", value: { field: "plan", operator: 1, values: ["pro"] } },
  });
});
