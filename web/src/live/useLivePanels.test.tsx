import { act, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ClientProvider } from "../api/client.tsx";
import type { QueryParams } from "../api/queryParams.ts";
import { connectionStatus } from "./connectionStatus.ts";
import { FakeServer, usersUpdate } from "./fakeServer.ts";
import { LIST_INTERVAL_MS, POLL_INTERVAL_MS } from "./subscription.ts";
import { useLivePanels } from "./useLivePanels.ts";

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});
afterEach(() => vi.useRealTimers());

const advance = (ms = 0) => act(() => vi.advanceTimersByTimeAsync(ms));

function renderLivePanels(first: QueryParams = { range: "1h", zone: "UTC" }) {
  const wrapper = ({ children }: { children: ReactNode }) => (
    <ClientProvider transport={server.transport}>{children}</ClientProvider>
  );
  return renderHook((params: QueryParams) => useLivePanels(params), { wrapper, initialProps: first });
}

function usersOf(live: ReturnType<typeof useLivePanels>): number | undefined {
  const value = live.state.panels.active_users?.value;
  return value?.case === "activeUsers" ? Number(value.value.activeUsers) : undefined;
}

test("one stream subscribes to all panels and updates are shown", async () => {
  const { result } = renderLivePanels();
  await advance();
  expect(server.streams).toHaveLength(1);
  expect(server.stream.request.queries.map((query) => query.panel)).toContain("traffic_anomaly");
  server.stream.push(usersUpdate(41n));
  server.stream.push(usersUpdate(42n));
  await advance();
  expect(usersOf(result.current)).toBe(42);
  expect(result.current.state.stream.phase).toBe("open");
});

test("an open stream stops the polling", async () => {
  const { result } = renderLivePanels();
  await advance();
  server.stream.push(usersUpdate(1n));
  await advance();
  const calls = server.unaryCalls;
  await advance(LIST_INTERVAL_MS - 1_000);
  expect(server.unaryCalls - calls).toBe(0);
  expect(result.current.state.stream.phase).toBe("open");
});

test("panels are polled while the stream reconnects", async () => {
  const { result } = renderLivePanels();
  await advance();
  server.stream.push(usersUpdate(1n));
  await advance();

  server.streaming = false;
  server.activeUsers = 7n;
  server.stream.fail();
  await advance(10);
  expect(result.current.state.stream.phase).toBe("reconnecting");
  expect(usersOf(result.current)).toBe(7);
  server.activeUsers = 8n;
  await advance(POLL_INTERVAL_MS);
  expect(usersOf(result.current)).toBe(8);
  expect(connectionStatus(result.current.state)).toMatchObject({ color: "green", summary: "Polling" });

  server.streaming = true;
  await advance(10_000);
  server.stream.push(usersUpdate(9n));
  await advance();
  expect(usersOf(result.current)).toBe(9);
  expect(result.current.state.stream.phase).toBe("open");
  const calls = server.unaryCalls;
  await advance(LIST_INTERVAL_MS - 2_000);
  expect(server.unaryCalls - calls, "polling has stopped").toBeLessThanOrEqual(1);
});

test("an unreachable server turns the status red and its return turns it green", async () => {
  const { result } = renderLivePanels();
  await advance();
  server.up = false;
  server.stream.fail();
  await advance(10);
  expect(connectionStatus(result.current.state)).toMatchObject({ color: "red", summary: "Server unreachable" });
  server.up = true;
  await advance(10_000 + POLL_INTERVAL_MS);
  expect(connectionStatus(result.current.state).color).toBe("green");
});

test("a dead connection that was never closed is detected by the panel list", async () => {
  const { result } = renderLivePanels();
  await advance();
  server.stream.push(usersUpdate(1n));
  await advance();
  server.up = false;
  await advance(LIST_INTERVAL_MS + 10);
  expect(result.current.state.stream.phase).toBe("reconnecting");
});

test("a stream without a first message is supplemented by polling", async () => {
  server.activeUsers = 5n;
  const { result } = renderLivePanels();
  await advance(4_100);
  expect(connectionStatus(result.current.state).color).toBe("yellow");
  await advance(1_000);
  expect(usersOf(result.current)).toBe(5);
});

test("a stale value is marked as stale", async () => {
  const { result } = renderLivePanels();
  await advance();
  server.stream.push({ ...usersUpdate(3n), staleReason: "ClickHouse is unreachable" });
  await advance();
  expect(result.current.state.panels.active_users).toMatchObject({
    phase: "stale",
    reason: "ClickHouse is unreachable",
  });
  expect(usersOf(result.current)).toBe(3);
});

test("a new range opens a new stream and keeps the old values until its first update", async () => {
  const { result, rerender } = renderLivePanels();
  await advance();
  const first = server.stream;
  first.push(usersUpdate(10n));
  await advance();
  rerender({ range: "7d", zone: "UTC" });
  await advance();
  expect(server.streams).toHaveLength(2);
  first.push(usersUpdate(666n));
  await advance();
  expect(usersOf(result.current), "the old stream is ignored").toBe(10);
  expect(result.current.state.panels.active_users?.outdated).toBe(true);
  server.stream.push(usersUpdate(20n));
  await advance();
  expect(usersOf(result.current)).toBe(20);
});

test("a new panel file is subscribed to without a reload", async () => {
  const { result } = renderLivePanels();
  await advance();
  server.panelList = { panels: [...(server.panelList.panels ?? []), { name: "orders" }] };
  await advance(LIST_INTERVAL_MS + 10);
  expect(server.stream.request.queries.map((query) => query.panel)).toContain("orders");
  expect(result.current.state.panels.orders).toBeDefined();
  expect(result.current.state.stream.phase, "a changed list is not a failure").not.toBe("reconnecting");
});

test("a server without events is watched for its first event", async () => {
  server.events = 0n;
  const { result } = renderLivePanels();
  await advance();
  expect(result.current.state.hasEvents).toBe(false);
  server.stream.push({
    id: "any_events",
    panel: "error_rate",
    value: { case: "errorRate", value: { points: [{ events: 1n }] } },
  });
  await advance();
  expect(result.current.state.hasEvents).toBe(true);
});

test("retry queries the panels at once", async () => {
  server.up = false;
  const { result } = renderLivePanels();
  await advance(10);
  expect(connectionStatus(result.current.state).color).toBe("red");
  server.up = true;
  act(() => result.current.retry());
  await advance(10);
  expect(connectionStatus(result.current.state).color).toBe("green");
});

test("unmounting stops all requests", async () => {
  const { unmount } = renderLivePanels();
  await advance();
  unmount();
  const calls = server.unaryCalls;
  await advance(60_000);
  expect(server.unaryCalls).toBe(calls);
  expect(server.streams).toHaveLength(1);
});
