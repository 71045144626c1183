import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { type FakeServer, frameOf } from "../test/fakeServer.ts";
import { advance, figure, hubForEachTest, query, type TestHub, type TestTab } from "../test/testHub.ts";

let hub: TestHub;
let server: FakeServer;

hubForEachTest((fresh) => {
  hub = fresh;
  server = fresh.server;
});

test("a query is loading, then live with its frame", async () => {
  const tab = hub.tab();
  tab.watch(query("a"));
  expect(tab.state("a")).toEqual({ status: "loading", since: Date.now() });
  expect(tab.connection.phase).toBe("connecting");
  await advance(100);
  expect(tab.state("a")?.status).toBe("live");
  expect(figure(tab.state("a"))).toBe(1);
  expect(tab.connection.phase).toBe("live");
  server.stream.pushFrame("a", frameOf(2));
  await advance();
  expect(figure(tab.state("a"))).toBe(2);
});

test("frames are requested", async () => {
  await hub.liveTab("a");
  expect(server.stream.request.resultFormat).toBe(1);
  expect(server.stream.request.queries[0]).toMatchObject({ panel: "a", timeZone: "UTC", timeRange: 1 });
});

test("changes within 50 ms open one stream", async () => {
  const tab = hub.tab();
  tab.watch(query("a"));
  await advance(20);
  tab.watch(query("a"), query("b"));
  await advance(20);
  tab.watch(query("a"), query("b"), query("c"));
  await advance(100);
  expect(server.streams).toHaveLength(1);
  expect(server.stream.panels).toEqual(["a", "b", "c"]);
});

test("ten tabs share one stream, and a known frame is sent at once", async () => {
  const tabs: TestTab[] = [];
  for (let count = 0; count < 10; count += 1) tabs.push(await hub.liveTab("a", "b"));
  expect(server.streams).toHaveLength(1);
  for (const tab of tabs) expect(figure(tab.state("b"))).toBe(1);
  const late = hub.tab();
  late.watch(query("a"));
  expect(figure(late.state("a")), "without waiting").toBe(1);
  expect(late.connection.phase).toBe("live");
  server.stream.pushFrame("a", frameOf(7));
  await advance();
  for (const tab of [...tabs, late]) expect(figure(tab.state("a"))).toBe(7);
});

test("the old stream is closed when the new one has brought its first message", async () => {
  const tab = await hub.liveTab("a");
  const old = server.stream;
  server.buffered = true;
  tab.watch(query("a"), query("b"));
  await advance(1_000);
  expect(server.streams).toHaveLength(2);
  expect(old.open).toBe(true);
  expect(tab.state("a")?.status, "queries that stay keep their state").toBe("live");
  expect(tab.connection.phase).toBe("live");
  server.buffered = false;
  server.stream.wake();
  await advance();
  expect(old.open).toBe(false);
  expect(server.openStreams).toHaveLength(1);
  expect(figure(tab.state("b"))).toBe(1);
});

test("a query that no tab has any more is dropped, and late frames do not bring it back", async () => {
  const tab = await hub.liveTab("a", "b");
  const old = server.stream;
  tab.watch(query("a"));
  old.pushFrame("b", frameOf(9));
  await advance(100);
  expect(server.stream.panels).toEqual(["a"]);
  const sent = tab.messages.length;
  expect(figure(tab.state("b")), "the late frame").toBe(1);
  tab.watch(query("a"), query("b"));
  expect(tab.messages.slice(sent)).toMatchObject([{ type: "query", state: { status: "loading" } }]);
});

test("a frame of the stream replaces one with a later time: the server's clock may be set back", async () => {
  const tab = await hub.liveTab("a");
  server.stream.pushFrame("a", frameOf(5));
  server.stream.pushFrame("a", frameOf(4, Date.now() - 3_600_000));
  await advance();
  expect(figure(tab.state("a"))).toBe(4);
  expect(tab.state("a")?.status).toBe("live");
});

test("a slightly older frame of a call does not replace that of the stream", async () => {
  const tab = await hub.liveTab("a");
  server.stream.pushFrame("a", frameOf(5, Date.now() + 30_000));
  await advance();
  server.buffered = true;
  server.stream.fail();
  await advance(4_000);
  expect(server.polls).toHaveLength(1);
  expect(figure(tab.state("a"))).toBe(5);
  expect(tab.state("a")?.status).toBe("live");
});

test("more than 100 queries take several streams, which replace their predecessors together", async () => {
  const panels = Array.from({ length: 250 }, (_, index) => `panel${index}`);
  const tab = await hub.liveTab(...panels);
  expect(server.openStreams.map((stream) => stream.panels.length)).toEqual([100, 100, 50]);
  expect(figure(tab.state("panel249"))).toBe(1);
  expect(tab.connection.phase).toBe("live");
  tab.watch(...panels.slice(0, 150).map((panel) => query(panel)));
  await advance(100);
  expect(server.openStreams.map((stream) => stream.panels.length)).toEqual([100, 50]);
});

test("a tab without queries has no stream", async () => {
  const tab = await hub.liveTab("a");
  tab.watch();
  await advance(100);
  expect(server.openStreams).toHaveLength(0);
  await advance(20_000);
  expect(server.streams).toHaveLength(1);
});

test("bye releases the stream", async () => {
  const tab = await hub.liveTab("a");
  tab.close();
  await advance(100);
  expect(server.openStreams).toHaveLength(0);
});

test("a visible tab that is silent for 15 seconds is forgotten, and comes back with its queries", async () => {
  const tab = await hub.liveTab("a");
  tab.die();
  await advance(14_000);
  expect(server.openStreams).toHaveLength(1);
  await advance(2_500);
  expect(server.openStreams).toHaveLength(0);
  tab.show();
  expect(tab.messages.at(-1)).toEqual({ type: "pong", known: false });
  tab.watch(query("a"));
  await advance(100);
  expect(server.openStreams).toHaveLength(1);
  tab.show();
  expect(tab.messages.at(-1)).toEqual({ type: "pong", known: true });
});

test.each<[string, (tab: TestTab) => void]>([
  ["retry", (tab) => tab.retry()],
  ["call", (tab) => tab.call({ method: "query", query: query("a") })],
])("a forgotten tab whose next message is a %s is told to send its queries", async (_, send) => {
  const tab = await hub.liveTab("a");
  tab.die();
  await advance(17_000);
  const sent = tab.messages.length;
  send(tab);
  expect(tab.messages.slice(sent)).toContainEqual({ type: "pong", known: false });
  tab.show();
  expect(tab.messages.at(-1)).toEqual({ type: "pong", known: true });
});

test("a tab that has been hidden for ten minutes is forgotten, and comes back with its queries", async () => {
  const tab = await hub.liveTab("a");
  tab.hide();
  await advance(595_000);
  const sent = tab.messages.length;
  hub.hub.receive(tab, { type: "ping", visible: false });
  expect(tab.messages.slice(sent)).toEqual([{ type: "pong", known: true }]);
  await advance(602_000);
  tab.show();
  expect(tab.messages.at(-1)).toEqual({ type: "pong", known: false });
  tab.watch(query("a"));
  await advance(100);
  expect(tab.state("a")?.status).toBe("live");
});

test("the dead tab's queries leave the stream of the others", async () => {
  const dead = await hub.liveTab("a");
  await hub.liveTab("b");
  dead.die();
  await advance(17_000);
  expect(server.openStreams.map((stream) => stream.panels)).toEqual([["b"]]);
});

test("a hidden tab releases the stream after 30 seconds, and shows its last frames until new ones come", async () => {
  const tab = await hub.liveTab("a");
  tab.hide();
  await advance(25_000);
  expect(server.openStreams).toHaveLength(1);
  await advance(7_000);
  expect(server.openStreams).toHaveLength(0);
  const sent = tab.messages.length;
  await advance(500_000);
  expect(tab.messages.length, "nothing is sent to a hidden tab").toBe(sent);
  expect(server.streams).toHaveLength(1);

  server.value = 8;
  server.buffered = true;
  tab.show();
  expect(tab.state("a")).toMatchObject({ status: "stale", reason: "the page was in the background" });
  expect(figure(tab.state("a"))).toBe(1);
  expect(tab.connection.phase).toBe("connecting");
  await advance(100);
  server.buffered = false;
  server.stream.wake();
  await advance();
  expect(tab.state("a")?.status).toBe("live");
  expect(figure(tab.state("a"))).toBe(8);
});

test("hidden tabs release only what visible ones do not watch", async () => {
  const hidden = await hub.liveTab("a", "b");
  const visible = await hub.liveTab("a");
  hidden.hide();
  await advance(32_000);
  expect(server.openStreams.map((stream) => stream.panels)).toEqual([["a"]]);
  const sent = hidden.messages.length;
  server.stream.pushFrame("a", frameOf(3));
  await advance();
  expect(figure(visible.state("a"))).toBe(3);
  expect(hidden.messages.length).toBe(sent);
  hidden.show();
  expect(figure(hidden.state("a"))).toBe(3);
  expect(hidden.state("a")?.status).toBe("live");
  expect(hidden.state("b")?.status).toBe("stale");
});

test("a page that is opened in the background opens no stream until it is shown", async () => {
  const tab = hub.tab(false);
  tab.watch(query("a"));
  await advance(31_000);
  const before = server.streams.length;
  tab.show();
  await advance(100);
  expect(server.streams.length).toBe(before + 1);
  expect(figure(tab.state("a"))).toBe(1);
});

test("heartbeats say whether there are events", async () => {
  server.hasEvents = false;
  const tab = await hub.liveTab("a");
  expect(tab.connectionMessage).toMatchObject({ hasEvents: false });
  server.hasEvents = true;
  server.stream.heartbeat();
  await advance();
  expect(tab.connectionMessage).toMatchObject({ hasEvents: true });
});

test("times are by the server's clock, whose offset is that of the least delayed heartbeat", async () => {
  server.clockSkewMs = 3_600_000;
  const tab = await hub.liveTab("a");
  expect(tab.connection.clockOffsetMs).toBe(3_600_000);
  expect(tab.connection.lastHeardAt).toBeGreaterThanOrEqual(Date.now() + 3_600_000 - 100);
  // As if this heartbeat had been under way for two seconds.
  server.clockSkewMs = 3_598_000;
  server.stream.heartbeat();
  await advance();
  expect(tab.connection.clockOffsetMs).toBe(3_600_000);
  server.stop();
  await advance(1_000);
  expect(tab.state("a")?.since).toBe(tab.connection.lastHeardAt);
  expect(tab.connection.since).toBe(tab.connection.lastHeardAt);
});

test("one-shot calls return their results", async () => {
  const tab = hub.tab();
  const frame = tab.call({ method: "query", query: query("a") });
  const sent = tab.call({ method: "sendEvent", eventName: "test", sessionId: "s", properties: { page: "/" } });
  await advance();
  const results = new Map(tab.messages.flatMap((each) => (each.type === "result" ? [[each.id, each.result]] : [])));
  expect(results.get(frame)).toMatchObject({ figures: [{ value: 1 }] });
  expect(results.get(sent)).toEqual({ accepted: 1 });
  expect(server.sentEvents[0]?.events[0]).toMatchObject({
    eventName: "test",
    propertiesKind: { case: "propertiesJson", value: '{"page":"/"}' },
  });
});

test("a one-shot call fails after five seconds, and is aborted when its tab goes", async () => {
  server.frozen = true;
  const tab = hub.tab();
  const id = tab.call({ method: "query", query: query("a") });
  await advance(5_100);
  expect(tab.messages).toContainEqual({ type: "error", id, reason: "no response in time", permanent: false });
  tab.call({ method: "query", query: query("a") });
  tab.close();
  const sent = tab.messages.length;
  await advance(10_000);
  expect(tab.messages.length).toBe(sent);
});

test("the catalogue is loaded once for all tabs, and again when the stream reports another version", async () => {
  const tab = await hub.liveTab("a");
  const other = await hub.liveTab("b");
  for (const each of [tab, other]) {
    expect(each.catalog).toMatchObject({
      catalog: { version: "1", panels: [{ name: "a", title: "a", chart: "table" }] },
    });
  }
  await advance(60_000);
  expect(server.listCalls).toBe(1);
  server.publish({ panels: [{ name: "a" }, { name: "b" }], version: "2" });
  await advance(100);
  expect(tab.catalog).toMatchObject({ catalog: { version: "2", panels: [{ name: "a" }, { name: "b" }] } });
  expect(server.listCalls).toBe(2);
});

test("a server without events is noticed without a query, and its first event as well", async () => {
  server.catalog = { version: "1", hasEvents: false };
  const tab = hub.tab();
  await advance(100);
  expect(tab.connectionMessage.hasEvents).toBe(false);
  server.catalog = { version: "1", hasEvents: true };
  await advance(10_000);
  expect(tab.connectionMessage.hasEvents).toBe(true);
});

test.each([
  ["panels", { panels: [], version: "1", hasEvents: true }],
  ["events", { panels: [{ name: "a" }], version: "1", hasEvents: false }],
])("a server without %s is live as soon as it responds", async (_, catalog) => {
  server.catalog = catalog;
  const tab = hub.tab();
  tab.watch();
  await advance(100);
  expect(tab.connection.phase).toBe("live");
  server.up = false;
  await advance(10_000);
  expect(tab.connection.phase).toBe("offline");
  server.up = true;
  await advance(11_000);
  expect(tab.connection.phase).toBe("live");
});

test("a catalogue that cannot be loaded has a reason, and is loaded on retry", async () => {
  server.up = false;
  const tab = hub.tab();
  await advance(100);
  expect(tab.catalog).toEqual({ failure: "the server cannot be reached" });
  expect(tab.connection.phase).toBe("offline");
  server.up = true;
  tab.retry();
  await advance(100);
  expect(tab.catalog).toMatchObject({ catalog: { version: "1" } });
  expect(tab.connection.phase).toBe("connecting");
});

test("a known catalogue stays while its next version cannot be loaded, which is tried again", async () => {
  const tab = await hub.liveTab("a");
  server.listError = new ConnectError("the disk is full", Code.Internal);
  server.publish({ panels: [{ name: "b" }], version: "2" });
  await advance(100);
  expect(tab.catalog).toMatchObject({ catalog: { version: "1" }, failure: "the disk is full" });
  server.listError = undefined;
  await advance(3_000);
  expect(tab.catalog).toMatchObject({ catalog: { version: "2" } });
  expect(tab.catalog.failure).toBeUndefined();
});

test("hidden tabs load no catalogue", async () => {
  const tab = hub.tab();
  await advance(100);
  tab.hide();
  const calls = server.listCalls;
  await advance(60_000);
  expect(server.listCalls).toBe(calls);
});

test("a page without queries is live as long as the catalogue can be loaded", async () => {
  const tab = hub.tab();
  tab.watch();
  await advance(2_000);
  expect(tab.connection.phase).toBe("live");
  expect(server.streams).toHaveLength(0);
  server.stop();
  await advance(8_000);
  expect(tab.connection.phase).toBe("offline");
  server.up = true;
  await advance(15_000);
  expect(tab.connection.phase).toBe("live");
});

test("a page without panels is live as long as the server answers, and a page that follows it keeps that", async () => {
  const tab = hub.tab();
  await advance(500);
  expect(tab.connection.phase).toBe("connecting");
  await advance(1_000);
  expect(tab.connection.phase).toBe("live");
  expect(server.streams).toHaveLength(0);
  const heardAt = tab.connection.lastHeardAt ?? 0;
  await advance(20_000);
  expect(tab.connection.lastHeardAt, "the time of the last answer moves").toBeGreaterThan(heardAt + 10_000);
  tab.watch(query("a"));
  await advance(200);
  expect(server.openStreams).toHaveLength(1);
  tab.watch();
  await advance(200);
  expect(server.openStreams).toHaveLength(0);
  expect(tab.connection.phase).toBe("live");
  server.buffered = true;
  await advance(30_000);
  expect(tab.connection.phase, "the catalogue is polled").not.toBe("connecting");
});
