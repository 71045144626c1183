import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import { type FakeServer, frameOf } from "../test/fakeServer.ts";
import { advance, figure, hubForEachTest, query, type TestHub } from "../test/testHub.ts";

let hub: TestHub;
let server: FakeServer;

hubForEachTest((fresh) => {
  hub = fresh;
  server = fresh.server;
});

test("a server that is stopped is offline within a second, and live again without a reload", async () => {
  const tab = await hub.liveTab("a");
  server.stop();
  await advance();
  expect(tab.connection.phase).toBe("stale");
  expect(tab.state("a")?.status).toBe("stale");
  await advance(900);
  expect(tab.connection).toMatchObject({ phase: "offline", reason: "the server cannot be reached" });
  expect(tab.connection.retryAt).toBeGreaterThan(Date.now());
  expect(figure(tab.state("a")), "the last frame is kept").toBe(1);
  server.up = true;
  server.value = 2;
  await advance(11_000);
  expect(tab.connection.phase).toBe("live");
  expect(tab.connection.retryAt).toBeUndefined();
  expect(tab.connection.reason).toBeUndefined();
  expect(figure(tab.state("a"))).toBe(2);
  expect(tab.state("a")?.status).toBe("live");
});

test("a half-open stream is noticed within 12 seconds of silence, since when it was last heard", async () => {
  const tab = await hub.liveTab("a");
  await advance(5_000);
  const lastHeardAt = tab.connection.lastHeardAt ?? 0;
  server.frozen = true;
  await advance(lastHeardAt + 11_300 - Date.now());
  expect(tab.connection.phase).toBe("live");
  await advance(300);
  expect(tab.connection).toMatchObject({ phase: "stale", since: lastHeardAt, lastHeardAt });
  expect(tab.state("a")).toMatchObject({ status: "stale", since: lastHeardAt });
  await advance(30_000);
  expect(tab.connection).toMatchObject({ phase: "stale", since: lastHeardAt });
  server.frozen = false;
  await advance(15_000);
  expect(tab.connection.phase).toBe("live");
});

test("the watchdog compares times, so a suspended worker notices the silence at its first timer", async () => {
  const tab = await hub.liveTab("a");
  server.frozen = true;
  // The computer sleeps: the clock goes on, timers do not.
  vi.setSystemTime(Date.now() + 3_600_000);
  await advance(1_100);
  expect(server.streams[0]?.open).toBe(false);
  expect(tab.messages.some((each) => each.type === "connection" && each.state.phase === "stale")).toBe(true);
});

test("a stream that a proxy buffers is polled after five seconds, until it gets through", async () => {
  server.buffered = true;
  const tab = await hub.liveTab("a");
  await advance(4_500);
  expect(server.polls).toHaveLength(0);
  expect(tab.connection.phase).toBe("connecting");
  await advance(1_500);
  expect(tab.connection.phase).toBe("polling");
  expect(tab.state("a")?.status).toBe("live");
  server.value = 2;
  await advance(5_600);
  expect(figure(tab.state("a"))).toBe(2);
  await advance(60_000);
  expect(tab.connection.phase, "silent streams do not interrupt the polling").toBe("polling");
  expect(server.streams.length, "and are attempted again").toBeGreaterThan(3);
  server.buffered = false;
  server.stream.wake();
  await advance(11_000);
  expect(tab.connection.phase).toBe("live");
  const polls = server.polls.length;
  await advance(20_000);
  expect(server.polls.length, "an open stream ends the polling").toBe(polls);
});

test("polling of a server that freezes turns stale", async () => {
  server.buffered = true;
  const tab = await hub.liveTab("a");
  await advance(6_000);
  expect(tab.connection.phase).toBe("polling");
  server.frozen = true;
  await advance(13_000);
  expect(tab.connection.phase).toBe("stale");
  expect(tab.state("a")?.status).toBe("stale");
});

test("polling of a server that stops is offline", async () => {
  server.buffered = true;
  const tab = await hub.liveTab("a");
  await advance(6_000);
  server.up = false;
  await advance(6_000);
  expect(tab.connection.phase).toBe("offline");
});

test.each([Code.Unimplemented, Code.Unauthenticated, Code.PermissionDenied, Code.InvalidArgument])(
  "permanent error %i of the stream: denied, one attempt a minute, no calls",
  async (code) => {
    server.rejection = new ConnectError("no access", code);
    const tab = await hub.liveTab("a");
    expect(tab.connection).toMatchObject({ phase: "denied", reason: "no access" });
    expect(tab.connection.retryAt).toBeGreaterThan(Date.now() + 59_000);
    expect(tab.state("a")).toMatchObject({ status: "stale", reason: "no access" });
    await advance(58_000);
    expect(server.streams).toHaveLength(0);
    expect(server.polls).toHaveLength(0);
    server.rejection = undefined;
    await advance(3_000);
    expect(tab.connection.phase).toBe("live");
  },
);

test("retry ends the wait of a denied page", async () => {
  server.rejection = new ConnectError("no access", Code.PermissionDenied);
  const tab = await hub.liveTab("a");
  server.rejection = undefined;
  tab.retry();
  await advance();
  expect(tab.connection.phase).toBe("live");
});

test("retry ends the wait of an offline page", async () => {
  server.up = false;
  const tab = await hub.liveTab("a");
  await advance(30_000);
  expect(tab.connection.phase).toBe("offline");
  server.up = true;
  tab.retry();
  await advance();
  expect(tab.connection.phase).toBe("live");
});

test("a rejected query fails alone, and is tried again when the list of panels changes", async () => {
  const tab = await hub.liveTab("a", "b");
  server.stream.pushError("b", Code.NotFound, "there is no panel b");
  await advance(40_000);
  expect(tab.state("b")).toMatchObject({ status: "failed", reason: "there is no panel b" });
  expect(tab.state("a")?.status).toBe("live");
  expect(tab.connection.phase).toBe("live");
  expect(server.polls).toHaveLength(0);
  expect(server.streams).toHaveLength(1);
  server.catalogVersion = "2";
  await advance(5_500);
  expect(server.streams).toHaveLength(2);
  expect(tab.state("b")?.status).toBe("live");
});

test("a query that ends with a transient error is stale, polled, and back on a stream after 30 seconds", async () => {
  const tab = await hub.liveTab("a", "b");
  server.panelErrors.set("b", new ConnectError("too busy", Code.ResourceExhausted));
  server.stream.pushError("b", Code.Unavailable, "ClickHouse is unreachable");
  await advance();
  expect(tab.state("b")).toMatchObject({ status: "stale", reason: "ClickHouse is unreachable" });
  await advance(5_000);
  expect(tab.state("b")).toMatchObject({ status: "stale", reason: "too busy" });
  server.panelErrors.clear();
  server.value = 3;
  await advance(6_000);
  expect(tab.state("b")?.status).toBe("live");
  expect(figure(tab.state("b"))).toBe(3);
  expect(tab.connection.phase).toBe("live");
  expect(server.polls.every(({ request }) => request.panel === "b")).toBe(true);
  await advance(21_000);
  expect(server.openStreams).toHaveLength(1);
  expect(server.streams).toHaveLength(2);
});

test("the server's reason for a stale value is shown, since when the server says", async () => {
  const tab = await hub.liveTab("a");
  server.stream.pushFrame("a", frameOf(1), {
    staleReason: "ClickHouse is unreachable",
    staleSince: { seconds: 1_000n, nanos: 0 },
  });
  await advance();
  expect(tab.state("a")).toMatchObject({ status: "stale", reason: "ClickHouse is unreachable", since: 1_000_000 });
});

test("a panel that fails in polls does not stop the others", async () => {
  server.buffered = true;
  server.panelErrors.set("a", new ConnectError("unknown panel", Code.NotFound));
  server.panelErrors.set("b", new ConnectError("out of memory", Code.ResourceExhausted));
  const tab = await hub.liveTab("a", "b", "c");
  await advance(6_000);
  expect(tab.state("a")).toMatchObject({ status: "failed", reason: "unknown panel" });
  expect(tab.state("b")).toMatchObject({ status: "stale", reason: "out of memory" });
  expect(tab.state("c")?.status).toBe("live");
  expect(tab.connection.phase).toBe("polling");
});

test("a frame that violates the contract fails its query only", async () => {
  const tab = await hub.liveTab("a", "b");
  server.stream.pushFrame("b", { rows: 2, columns: [{ name: "x" }] });
  await advance();
  expect(tab.state("b")?.reason).toBe("column x has 0 values for 2 rows");
  expect(tab.state("a")?.status).toBe("live");
  expect(tab.connection.phase).toBe("live");
});

test("a range change while the server is down keeps old and new apart", async () => {
  const tab = await hub.liveTab("a");
  server.stop();
  await advance(3_000);
  tab.watch(query("a", "7d"));
  await advance(5_000);
  expect(tab.state("a", "7d")).toMatchObject({ status: "stale", reason: "the server cannot be reached" });
  expect(tab.state("a", "7d")?.frame).toBeUndefined();
  server.up = true;
  await advance(12_000);
  expect(tab.state("a", "7d")?.status).toBe("live");
  expect(server.stream.request.queries.map(({ timeRange }) => timeRange)).toEqual([4]);
});

test("a range change that the server does not respond to leaves the old stream alone and is polled", async () => {
  const tab = await hub.liveTab("a");
  server.buffered = true;
  tab.watch(query("a", "7d"), query("b"));
  await advance(6_500);
  expect(tab.state("b")?.status).toBe("live");
  expect(tab.state("a", "7d")?.status).toBe("live");
});

test("a flapping stream keeps its backoff, one that lived 30 seconds starts again", async () => {
  hub.random = 0.999;
  const tab = await hub.liveTab("a");
  const gaps: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const opened = server.streams.length;
    const failedAt = Date.now();
    server.stream.fail();
    while (server.streams.length === opened) await advance(100);
    gaps.push(Date.now() - failedAt);
    await advance(1_000);
    expect(tab.connection.phase).toBe("live");
  }
  const rounded = gaps.map((gap) => Math.round(gap / 500) * 500);
  expect(rounded).toEqual([500, 1_000, 2_000, 4_000, 8_000]);
  await advance(30_000);
  const opened = server.streams.length;
  server.stream.fail();
  await advance(600);
  expect(server.streams.length).toBe(opened + 1);
});

test("the server's retry delay is respected", async () => {
  const { create, toBinary } = await import("@bufbuild/protobuf");
  const { DurationSchema } = await import("@bufbuild/protobuf/wkt");
  const duration = toBinary(DurationSchema, create(DurationSchema, { seconds: 20n }));
  const error = new ConnectError("too many streams", Code.ResourceExhausted);
  error.details.push({ type: "google.rpc.RetryInfo", value: new Uint8Array([10, duration.length, ...duration]) });
  server.rejection = error;
  const tab = await hub.liveTab("a");
  expect(tab.connection).toMatchObject({ phase: "stale", reason: "too many streams" });
  expect((tab.connection.retryAt ?? 0) - Date.now()).toBeGreaterThan(19_000);
});

test("after a break, polls start at a random time within two seconds and are spread over the interval", async () => {
  hub.random = 0.75;
  const panels = Array.from({ length: 10 }, (_, index) => `p${index}`);
  await hub.liveTab(...panels);
  const brokenAt = Date.now();
  server.buffered = true;
  server.stream.fail();
  await advance(1_400);
  expect(server.polls).toHaveLength(0);
  await advance(5_100);
  const times = server.polls.slice(0, 10).map(({ at }) => at - brokenAt);
  expect(times[0]).toBeGreaterThanOrEqual(1_500);
  expect(times[0]).toBeLessThan(1_600);
  expect(new Set(server.polls.slice(0, 10).map(({ request }) => request.panel)).size).toBe(10);
  for (let index = 1; index < times.length; index += 1) {
    expect((times[index] ?? 0) - (times[index - 1] ?? 0), "spread").toBeGreaterThanOrEqual(400);
  }
});

test("at most four calls run at a time", async () => {
  server.buffered = true;
  server.latencyMs = 300;
  const panels = Array.from({ length: 20 }, (_, index) => `p${index}`);
  await hub.liveTab(...panels);
  await advance(12_000);
  expect(server.maxConcurrentPolls).toBe(4);
  expect(new Set(server.polls.map(({ request }) => request.panel)).size).toBe(20);
});

test("one query that is slow does not make the connection stale", async () => {
  server.buffered = true;
  const tab = await hub.liveTab("a", "b");
  server.panelErrors.set("b", new ConnectError("", Code.DeadlineExceeded));
  await advance(7_000);
  expect(tab.state("b")).toMatchObject({ status: "stale", reason: "no response in time" });
  expect(tab.state("a")?.status).toBe("live");
  expect(tab.connection.phase).toBe("polling");
});

test("an offline page probes, and does not call for each panel", async () => {
  server.up = false;
  const panels = Array.from({ length: 20 }, (_, index) => `p${index}`);
  await hub.liveTab(...panels);
  await advance(20_000);
  expect(server.polls.length).toBeLessThan(40);
});
