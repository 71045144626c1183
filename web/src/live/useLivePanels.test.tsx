import { act, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ClientProvider } from "../api/client.tsx";
import type { QueryParams } from "../api/queryParams.ts";
import { connectionStatus } from "./connectionStatus.ts";
import { FakeServer, usersUpdate } from "./fakeServer.ts";
import { LIST_EVERY_MS, POLL_EVERY_MS } from "./subscription.ts";
import { useLivePanels } from "./useLivePanels.ts";

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});
afterEach(() => vi.useRealTimers());

const passing = (ms = 0) => act(() => vi.advanceTimersByTimeAsync(ms));

function watching(first: QueryParams = { range: "1h", zone: "UTC" }) {
  const wrapper = ({ children }: { children: ReactNode }) => (
    <ClientProvider transport={server.transport}>{children}</ClientProvider>
  );
  return renderHook((question: QueryParams) => useLivePanels(question), { wrapper, initialProps: first });
}

function usersOf(live: ReturnType<typeof useLivePanels>): number | undefined {
  const value = live.state.panels.active_users?.value;
  return value?.case === "activeUsers" ? Number(value.value.activeUsers) : undefined;
}

test("one stream asks for all panels, and an update is shown", async () => {
  const { result } = watching();
  await passing();
  expect(server.streams).toHaveLength(1);
  expect(server.stream.request.queries.map((query) => query.panel)).toContain("traffic_anomaly");
  server.stream.push(usersUpdate(41n));
  server.stream.push(usersUpdate(42n));
  await passing();
  expect(usersOf(result.current)).toBe(42);
  expect(result.current.state.stream.phase).toBe("open");
});

test("a stream that is heard is not polled beside", async () => {
  const { result } = watching();
  await passing();
  server.stream.push(usersUpdate(1n));
  await passing();
  const calls = server.unaryCalls;
  await passing(LIST_EVERY_MS - 1_000);
  expect(server.unaryCalls - calls).toBe(0);
  expect(result.current.state.stream.phase).toBe("open");
});

test("a broken stream is polled for, and then comes back", async () => {
  const { result } = watching();
  await passing();
  server.stream.push(usersUpdate(1n));
  await passing();

  server.watches = false;
  server.activeUsers = 7n;
  server.stream.fail();
  await passing(10);
  expect(result.current.state.stream.phase).toBe("broken");
  expect(usersOf(result.current)).toBe(7);
  server.activeUsers = 8n;
  await passing(POLL_EVERY_MS);
  expect(usersOf(result.current)).toBe(8);
  expect(connectionStatus(result.current.state)).toMatchObject({ color: "green", summary: "Polling" });

  server.watches = true;
  await passing(10_000);
  server.stream.push(usersUpdate(9n));
  await passing();
  expect(usersOf(result.current)).toBe(9);
  expect(result.current.state.stream.phase).toBe("open");
  const calls = server.unaryCalls;
  await passing(LIST_EVERY_MS - 2_000);
  expect(server.unaryCalls - calls, "polling has ended").toBeLessThanOrEqual(1);
});

test("a server that has gone turns everything red, and its return turns it green", async () => {
  const { result } = watching();
  await passing();
  server.up = false;
  server.stream.fail();
  await passing(10);
  expect(connectionStatus(result.current.state)).toMatchObject({ color: "red", summary: "Server unreachable" });
  server.up = true;
  await passing(10_000 + POLL_EVERY_MS);
  expect(connectionStatus(result.current.state).color).toBe("green");
});

test("a connection that is dead without being closed is noticed by the list", async () => {
  const { result } = watching();
  await passing();
  server.stream.push(usersUpdate(1n));
  await passing();
  server.up = false;
  await passing(LIST_EVERY_MS + 10);
  expect(result.current.state.stream.phase).toBe("broken");
});

test("a stream that brings nothing is helped out by polling", async () => {
  server.activeUsers = 5n;
  const { result } = watching();
  await passing(4_100);
  expect(connectionStatus(result.current.state).color).toBe("yellow");
  await passing(1_000);
  expect(usersOf(result.current)).toBe(5);
});

test("a stale value is shown as such", async () => {
  const { result } = watching();
  await passing();
  server.stream.push({ ...usersUpdate(3n), staleReason: "ClickHouse is away" });
  await passing();
  expect(result.current.state.panels.active_users).toMatchObject({ phase: "stale", reason: "ClickHouse is away" });
  expect(usersOf(result.current)).toBe(3);
});

test("another range is another stream, and the old values stay until it answers", async () => {
  const { result, rerender } = watching();
  await passing();
  const first = server.stream;
  first.push(usersUpdate(10n));
  await passing();
  rerender({ range: "7d", zone: "UTC" });
  await passing();
  expect(server.streams).toHaveLength(2);
  first.push(usersUpdate(666n));
  await passing();
  expect(usersOf(result.current), "the old stream has no say any more").toBe(10);
  expect(result.current.state.panels.active_users?.outdated).toBe(true);
  server.stream.push(usersUpdate(20n));
  await passing();
  expect(usersOf(result.current)).toBe(20);
});

test("a panel that is dropped in is watched without a reload", async () => {
  const { result } = watching();
  await passing();
  server.list = { panels: [...(server.list.panels ?? []), { name: "orders" }] };
  await passing(LIST_EVERY_MS + 10);
  expect(server.stream.request.queries.map((query) => query.panel)).toContain("orders");
  expect(result.current.state.panels.orders).toBeDefined();
  expect(result.current.state.stream.phase, "that is no break").not.toBe("broken");
});

test("while there is no event at all, the stream is asked for the first one", async () => {
  server.events = 0n;
  const { result } = watching();
  await passing();
  expect(result.current.state.hasEvents).toBe(false);
  server.stream.push({
    id: "any_events",
    panel: "error_rate",
    value: { case: "errorRate", value: { points: [{ events: 1n }] } },
  });
  await passing();
  expect(result.current.state.hasEvents).toBe(true);
});

test("retry asks at once", async () => {
  server.up = false;
  const { result } = watching();
  await passing(10);
  expect(connectionStatus(result.current.state).color).toBe("red");
  server.up = true;
  act(() => result.current.retry());
  await passing(10);
  expect(connectionStatus(result.current.state).color).toBe("green");
});

test("nothing goes on when the page is left", async () => {
  const { unmount } = watching();
  await passing();
  unmount();
  const calls = server.unaryCalls;
  await passing(60_000);
  expect(server.unaryCalls).toBe(calls);
  expect(server.streams).toHaveLength(1);
});
