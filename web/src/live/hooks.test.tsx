import { act, configure, render, renderHook } from "@testing-library/react";
import { Profiler, type ReactNode } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { PanelQuery } from "../query/query.ts";
import { type FakeServer, frameOf } from "../test/fakeServer.ts";
import { advance as advanceTime, figure, query, TestHub } from "../test/testHub.ts";
import { LiveProvider, useCatalog, useConnection, useLastFrame, useQueryState } from "./hooks.tsx";
import { DEBOUNCE_MS } from "./hub.ts";
import { CallError, FLUSH_INTERVAL_MS, LiveStore } from "./store.ts";

let hub: TestHub;
let server: FakeServer;
let store: LiveStore;
let visibility: DocumentVisibilityState;

const advance = (ms = 100) => act(() => advanceTime(ms));

beforeEach(() => {
  configure({ reactStrictMode: true });
  vi.useFakeTimers({ now: new Date("2026-03-01T12:00:00Z") });
  visibility = "visible";
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => visibility);
  hub = new TestHub();
  server = hub.server;
  store = new LiveStore(hub.openPort);
  store.start();
});
afterEach(() => {
  store.stop();
  configure({ reactStrictMode: false });
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function setVisibility(state: DocumentVisibilityState): void {
  visibility = state;
  document.dispatchEvent(new Event("visibilitychange"));
}

const pageTransition = (type: "pagehide" | "pageshow") =>
  window.dispatchEvent(Object.assign(new Event(type), { persisted: true }));

const wrapper = ({ children }: { children: ReactNode }) => <LiveProvider store={store}>{children}</LiveProvider>;

const renderCard = (first: PanelQuery) =>
  renderHook((each: PanelQuery) => ({ state: useQueryState(each), last: useLastFrame(each) }), {
    wrapper,
    initialProps: first,
  });

test("a mounted card is subscribed to, in StrictMode as well", async () => {
  const { result } = renderCard(query("a"));
  expect(result.current.state.status).toBe("loading");
  expect(result.current.last).toBeNull();
  await advance(200);
  expect(server.streams).toHaveLength(1);
  expect(result.current.state.status).toBe("live");
  expect(result.current.last).toMatchObject({ query: query("a"), placeholder: false });
});

test("an unmounted card is not", async () => {
  const { unmount } = renderCard(query("a"));
  await advance(200);
  unmount();
  await advance(200);
  expect(server.openStreams).toHaveLength(0);
});

test("a new range shows the old frame with its own query, as a placeholder, until the new one arrives", async () => {
  const { result, rerender } = renderCard(query("a"));
  await advance(200);
  const frame = result.current.last?.frame;
  server.buffered = true;
  rerender(query("a", "7d"));
  await advance(200);
  expect(result.current.state.status).toBe("loading");
  expect(result.current.last).toEqual({ frame, query: query("a"), placeholder: true });
  // The old stream is still open. What it sends does not belong to the new query.
  server.streams[0]?.pushFrame("a", frameOf(666));
  await advance(200);
  expect(result.current.last?.frame.figures[0]?.value).toBe(1);
  server.value = 7;
  server.buffered = false;
  server.stream.pushFrame("a", frameOf(7));
  await advance(200);
  expect(result.current.last).toMatchObject({ query: query("a", "7d"), placeholder: false });
  expect(figure(result.current.state)).toBe(7);
});

test("while the server is down, a new range keeps the words of the old one", async () => {
  const { result, rerender } = renderCard(query("custom"));
  await advance(200);
  server.stop();
  rerender(query("custom", "7d"));
  await advance(5_000);
  expect(result.current.last).toMatchObject({ query: query("custom", "1h"), placeholder: true });
  expect(result.current.state.status).toBe("stale");
});

test("another panel's frame is never a placeholder", async () => {
  const { result, rerender } = renderCard(query("a"));
  await advance(200);
  server.buffered = true;
  rerender(query("b"));
  expect(result.current.last).toBeNull();
});

test("one message renders one card, and many messages of one frame render it once", async () => {
  const renders = { a: 0, b: 0 };
  function Card({ panel }: { panel: "a" | "b" }) {
    useQueryState(query(panel));
    renders[panel] += 1;
    return null;
  }
  configure({ reactStrictMode: false });
  render(
    <LiveProvider store={store}>
      <Card panel="a" />
      <Card panel="b" />
    </LiveProvider>,
  );
  await advance(200);
  const before = { ...renders };
  for (let value = 0; value < 20; value += 1) server.stream.pushFrame("a", frameOf(value));
  await advance(0);
  await advance(FLUSH_INTERVAL_MS + 100);
  expect(renders).toEqual({ a: before.a + 1, b: before.b });
});

test("newer results of all cards are rendered together, first results at once", async () => {
  let commits = 0;
  const count = () => {
    commits += 1;
  };
  const Card = ({ panel }: { panel: string }) => <p>{String(figure(useQueryState(query(panel))))}</p>;
  configure({ reactStrictMode: false });
  const { container } = render(
    <LiveProvider store={store}>
      <Profiler id="cards" onRender={count}>
        <Card panel="a" />
        <Card panel="b" />
      </Profiler>
    </LiveProvider>,
  );
  await advance(DEBOUNCE_MS + 50);
  expect(container.textContent).toBe("11");
  await advance(FLUSH_INTERVAL_MS);
  server.stream.pushFrame("a", frameOf(2));
  await advance(50);
  commits = 0;
  server.stream.pushFrame("a", frameOf(3));
  await advance(50);
  server.stream.pushFrame("b", frameOf(4));
  await advance(50);
  expect(container.textContent).toBe("21");
  await advance(FLUSH_INTERVAL_MS);
  expect(container.textContent).toBe("34");
  expect(commits).toBe(1);
});

test("the connection says whether there are events, and the store has the server's time", async () => {
  server.clockSkewMs = 60_000;
  renderCard(query("a"));
  const { result } = renderHook(() => useConnection(), { wrapper });
  expect(result.current.phase).toBe("connecting");
  await advance(200);
  expect(result.current).toMatchObject({ phase: "live", hasEvents: true, clockOffsetMs: 60_000 });
  expect(store.serverNow()).toBe(Date.now() + 60_000);
});

test("a catalogue with the same content renders nothing, also after the worker was replaced", async () => {
  configure({ reactStrictMode: false });
  let renders = 0;
  const { result } = renderHook(
    () => {
      renders += 1;
      return useCatalog();
    },
    { wrapper },
  );
  expect(result.current.catalog).toBeUndefined();
  await advance(200);
  expect(result.current.catalog).toMatchObject({ version: "1", panels: [{ name: "a" }] });
  expect(renders).toBe(2);
  hub.worker.alive = false;
  await advance(25_000);
  expect(hub.opened).toEqual([0, 1]);
  expect(renders).toBe(2);
});

test("calls resolve with their result, or reject with words for people", async () => {
  const frame = store.call({ method: "query", query: query("a") });
  await advance(0);
  await expect(frame).resolves.toMatchObject({ figures: [{ value: 1 }] });
  server.up = false;
  const failed = expect(store.call({ method: "query", query: query("a") })).rejects.toEqual(
    new CallError({ reason: "the server cannot be reached", permanent: false }),
  );
  await advance(0);
  await failed;
});

test("a hidden page releases the stream and has its frames at once when it is shown", async () => {
  const { result } = renderCard(query("a"));
  await advance(200);
  setVisibility("hidden");
  await advance(32_000);
  expect(server.openStreams).toHaveLength(0);
  server.value = 5;
  setVisibility("visible");
  await advance(200);
  expect(figure(result.current.state)).toBe(5);
  expect(result.current.state.status).toBe("live");
});

test("a page in the back/forward cache has no stream, and comes back with its frames", async () => {
  const { result } = renderCard(query("a"));
  await advance(200);
  pageTransition("pagehide");
  await advance(200);
  expect(server.openStreams).toHaveLength(0);
  await advance(60_000);
  server.buffered = true;
  pageTransition("pageshow");
  await advance(200);
  expect(result.current.state).toMatchObject({ status: "stale", reason: "waiting for the server" });
  expect(figure(result.current.state)).toBe(1);
  server.buffered = false;
  server.stream.wake();
  await advance(200);
  expect(result.current.state.status).toBe("live");
});

test("a worker that leaves three pings unanswered is replaced by another one, and calls are rejected", async () => {
  const { result } = renderCard(query("a"));
  await advance(200);
  hub.worker.alive = false;
  server.value = 9;
  const interrupted = expect(store.call({ method: "query", query: query("a") })).rejects.toThrow("interrupted");
  await advance(14_000);
  expect(hub.opened).toEqual([0]);
  await advance(7_000);
  expect(hub.opened).toEqual([0, 1]);
  await interrupted;
  expect(result.current.state.status).toBe("live");
  expect(figure(result.current.state)).toBe(9);
});

test.each<[string, number, () => void]>([
  ["ping", 5_000, () => {}],
  ["retry", 200, () => store.retry()],
])("a tab that was silent for too long sends its queries again after its next message, a %s", async (_, ms, send) => {
  const { result } = renderCard(query("a"));
  await advance(200);
  hub.lossy = true;
  await advance(17_000);
  expect(server.openStreams, "the worker has forgotten the tab").toHaveLength(0);
  hub.lossy = false;
  hub.received.length = 0;
  send();
  await advance(ms);
  expect(hub.received).toContain("watch");
  expect(hub.opened, "the worker is not replaced").toEqual([0]);
  expect(server.openStreams).toHaveLength(1);
  expect(result.current.state.status).toBe("live");
});

describe("a worker whose script loads slowly", () => {
  beforeEach(() => {
    store.stop();
    hub.opened.length = 0;
    hub.loading = true;
    store = new LiveStore(hub.openPort);
    store.start();
  });

  test("is not replaced", async () => {
    const { result } = renderCard(query("a"));
    await advance(40_000);
    expect(hub.opened).toEqual([0]);
    hub.loaded();
    await advance(200);
    expect(result.current.state.status).toBe("live");
  });

  test("is replaced after a minute, and then told that the tab has left", async () => {
    renderCard(query("a"));
    await advance(65_000);
    expect(hub.opened).toEqual([0, 1]);
    hub.received.length = 0;
    hub.loaded();
    expect(hub.received).toContain("bye");
  });
});

test("a hidden tab does not report that the network is back", async () => {
  await advance(200);
  const reports = () => hub.received.filter((type) => type === "online").length;
  window.dispatchEvent(new Event("online"));
  await advance(0);
  expect(reports()).toBe(1);
  setVisibility("hidden");
  window.dispatchEvent(new Event("online"));
  await advance(0);
  expect(reports()).toBe(1);
});
