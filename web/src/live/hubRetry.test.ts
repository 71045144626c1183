// When attempts are made: retries of users and browsers, streams that are replaced, the extra attempt.

import { create, toBinary } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { backoffDelayMs } from "../lib/backoff.ts";
import type { FakeServer } from "../test/fakeServer.ts";
import { advance, hubForEachTest, query, type TestHub } from "../test/testHub.ts";
import { SILENCE_MS } from "./connection.ts";

let hub: TestHub;
let server: FakeServer;

hubForEachTest((fresh) => {
  hub = fresh;
  server = fresh.server;
});

test("retry polls a failed panel while the stream does not get through", async () => {
  server.buffered = true;
  server.panelErrors.set("a", new ConnectError("unknown panel", Code.NotFound));
  const tab = await hub.liveTab("a", "b");
  await advance(6_500);
  expect(tab.state("a")?.status).toBe("failed");
  server.panelErrors.clear();
  tab.retry();
  expect(tab.state("a")?.status).toBe("loading");
  await advance(200);
  expect(tab.state("a")?.status).toBe("live");
  expect(tab.connection.phase).toBe("polling");
});

test("another catalogue polls a failed panel while the stream does not get through", async () => {
  server.buffered = true;
  server.panelErrors.set("a", new ConnectError("unknown panel", Code.NotFound));
  const tab = await hub.liveTab("a", "b");
  await advance(12_000);
  expect(tab.state("a")?.status).toBe("failed");
  const polls = () => server.polls.filter(({ request }) => request.panel === "a").length;
  const before = polls();
  await advance(12_000);
  expect(polls(), "the same catalogue does not").toBe(before);
  server.panelErrors.clear();
  server.publish({ panels: [{ name: "a" }], version: "2" });
  await advance(6_000);
  expect(tab.state("a")?.status).toBe("live");
});

test("the retries of ten tabs start one attempt, which the next ones do not interrupt", async () => {
  const tabs = [];
  for (let count = 0; count < 10; count += 1) tabs.push(await hub.liveTab("a"));
  server.stop();
  await advance(30_000);
  server.up = true;
  server.buffered = true;
  const opened = server.streams.length;
  const loaded = server.listCalls;
  for (const tab of tabs) {
    tab.retry();
    await advance(50);
  }
  expect(server.streams).toHaveLength(opened + 1);
  expect(server.listCalls).toBeLessThanOrEqual(loaded + 1);
  expect(server.stream.open).toBe(true);
});

test("after the network is back, all tabs together retry once, at a random time within two seconds", async () => {
  const tabs = [await hub.liveTab("a"), await hub.liveTab("a")];
  server.rejection = new ConnectError("no access", Code.PermissionDenied);
  server.stream.fail(server.rejection);
  await advance(1_000);
  server.rejection = undefined;
  hub.random = 0.75;
  const opened = server.streams.length;
  for (const tab of tabs) hub.hub.receive(tab, { type: "online" });
  await advance(1_400);
  expect(server.streams).toHaveLength(opened);
  await advance(200);
  expect(server.streams).toHaveLength(opened + 1);
  await advance(5_000);
  expect(server.streams).toHaveLength(opened + 1);
});

test("retry does not shorten the delay that the server has named for calls", async () => {
  server.buffered = true;
  const duration = toBinary(DurationSchema, create(DurationSchema, { seconds: 60n }));
  const busy = new ConnectError("too many calls", Code.ResourceExhausted);
  busy.details.push({ type: "google.rpc.RetryInfo", value: new Uint8Array([10, duration.length, ...duration]) });
  server.panelErrors.set("a", busy);
  const tab = await hub.liveTab("a");
  await advance(6_500);
  expect(server.polls).toHaveLength(1);
  tab.retry();
  await advance(50_000);
  expect(server.polls).toHaveLength(1);
  await advance(12_000);
  expect(server.polls).toHaveLength(2);
});

test("a query that each stream ends at once replaces the stream ever more rarely", async () => {
  await hub.liveTab("a", "b");
  const gaps: number[] = [];
  for (let round = 0; round < 7; round += 1) {
    const opened = server.streams.length;
    const endedAt = Date.now();
    server.stream.pushError("b", Code.Unavailable, "ClickHouse is unreachable");
    while (server.streams.length === opened) await advance(1_000);
    gaps.push(Date.now() - endedAt);
  }
  expect(gaps.map((gap) => Math.round(gap / 10_000) * 10)).toEqual([30, 60, 120, 240, 480, 600, 600]);
  // The newest stream serves it for a while.
  await advance(31_000);
  const opened = server.streams.length;
  server.stream.pushError("b", Code.Unavailable, "ClickHouse is unreachable");
  await advance(32_000);
  expect(server.streams).toHaveLength(opened + 1);
});

test("an attempt on a dead connection gets a second one beside it, which serves as soon as it gets through", async () => {
  const tab = await hub.liveTab("a");
  server.buffered = true;
  server.deadStreams = 1;
  await advance(SILENCE_MS + 600);
  expect(server.streams).toHaveLength(2);
  server.buffered = false;
  await advance(3_000);
  expect(tab.connection.phase).toBe("polling");
  expect(server.streams, "not before five seconds").toHaveLength(2);
  await advance(3_500);
  expect(tab.connection.phase).toBe("live");
  expect(server.streams).toHaveLength(3);
  expect(server.openStreams).toEqual([server.stream]);
});

test("the first attempt serves if it gets through before the second one", async () => {
  const tab = await hub.liveTab("a");
  server.buffered = true;
  await advance(SILENCE_MS + 600);
  server.deadStreams = 1;
  await advance(6_500);
  expect(server.openStreams).toHaveLength(2);
  server.buffered = false;
  for (const stream of server.openStreams) stream.wake();
  await advance(200);
  expect(tab.connection.phase).toBe("live");
  expect(server.openStreams).toEqual([server.streams[1]]);
});

test("without calls that succeed there is no second attempt", async () => {
  await hub.liveTab("a");
  server.frozen = true;
  await advance(SILENCE_MS + 10_000);
  expect(server.openStreams.length).toBeLessThanOrEqual(1);
  expect(server.streams).toHaveLength(2);
});

test.each([
  ["from the start", false],
  ["after a stream has worked", true],
])("a proxy that buffers %s gets no more attempts than the backoff allows", async (_, worked) => {
  if (worked) await hub.liveTab("a");
  else hub.tab().watch(query("a"));
  server.buffered = true;
  const before = server.streams.length;
  while (server.streams.length === before) await advance(100);
  const startedAt = Date.now();
  let together = 0;
  while (Date.now() < startedAt + 300_000) {
    await advance(500);
    together = Math.max(together, server.openStreams.length);
  }
  expect(together).toBe(worked ? 2 : 1);
  // Each attempt is silent until it is given up. The break of a stream that has worked is the first failure.
  let allowed = 0;
  for (let at = 0, failures = worked ? 2 : 1; at <= 300_000; failures += 1) {
    allowed += 1;
    at += SILENCE_MS + backoffDelayMs(failures, () => hub.random);
  }
  expect(server.streams.length - before).toBeLessThanOrEqual(allowed);
  expect(server.streams.length - before).toBeGreaterThan(allowed - 2);
});
