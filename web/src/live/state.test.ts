import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { PanelValue } from "../api/value.ts";
import { GetActiveUsersResponseSchema, ListPanelsResponseSchema } from "../gen/millrace/v1/dashboard_pb.ts";
import { connectionStatus } from "./connectionStatus.ts";
import { initialState, type LiveAction, type LiveState, liveReducer, SLOW_AFTER_MS } from "./state.ts";

const users = (activeUsers: bigint): PanelValue => ({
  case: "activeUsers",
  value: create(GetActiveUsersResponseSchema, { activeUsers }),
});

const after = (...actions: LiveAction[]): LiveState => actions.reduce(liveReducer, initialState(0));

const REQUESTED: LiveAction = { type: "panelsRequested", panels: ["a", "b"], at: 1 };
const updated = (panel: string, at = 2): LiveAction => ({ type: "panelUpdated", panel, value: users(1n), at });

test("a panel is connecting until its first value", () => {
  const state = after(REQUESTED, updated("a"));
  expect(state.panels.a?.phase).toBe("live");
  expect(state.panels.b?.phase).toBe("connecting");
  expect(connectionStatus(state)).toMatchObject({ color: "yellow", summary: "Connecting" });
});

test("the status is green when all panels are live", () => {
  expect(connectionStatus(after(REQUESTED, updated("a"), updated("b"))).color).toBe("green");
});

test("a panel without a response for seconds is stale since its request", () => {
  const state = after(REQUESTED, updated("a"), { type: "tick", at: 1 + SLOW_AFTER_MS });
  expect(state.panels.b).toMatchObject({ phase: "stale", reason: "no response yet", since: 1 });
  expect(connectionStatus(state).color).toBe("yellow");
});

test("a tick keeps the state when no panel is slow", () => {
  const state = after(REQUESTED, updated("a"), updated("b"));
  expect(liveReducer(state, { type: "tick", at: 1e9 })).toBe(state);
});

test("a stale update keeps the value, its reason and its start", () => {
  const state = after(REQUESTED, updated("a"), updated("b"), {
    type: "panelUpdated",
    panel: "a",
    value: users(7n),
    staleReason: "ClickHouse is unreachable",
    staleSince: 50,
    at: 60,
  });
  expect(state.panels.a).toMatchObject({ phase: "stale", reason: "ClickHouse is unreachable", since: 50 });
  expect(connectionStatus(state)).toMatchObject({ color: "yellow", summary: "1 of 2 panels delayed" });
});

test("a stale update without a value keeps the previous value", () => {
  const state = after(REQUESTED, updated("a"), { type: "panelUpdated", panel: "a", staleReason: "unreachable", at: 9 });
  expect(state.panels.a?.value).toEqual(users(1n));
});

test("an unreachable panel turns the status red and keeps the first failure's time", () => {
  const failed = (at: number): LiveAction => ({ type: "panelFailed", panel: "a", reason: "gone", timedOut: false, at });
  const state = after(REQUESTED, updated("a"), updated("b"), failed(10), failed(15));
  expect(connectionStatus(state)).toMatchObject({ color: "red", summary: "1 of 2 panels unreachable" });
  expect(connectionStatus(state).problems).toEqual([{ panels: ["a"], phase: "failed", reason: "gone", since: 10 }]);
});

test("panels that fail at one time for one reason are one problem", () => {
  const failed = (panel: string, at: number): LiveAction => ({
    type: "panelFailed",
    panel,
    reason: "gone",
    timedOut: false,
    at,
  });
  const { summary, problems } = connectionStatus(after(REQUESTED, failed("a", 2_001), failed("b", 2_900)));
  expect(summary).toBe("Server unreachable");
  expect(problems).toEqual([{ panels: ["a", "b"], phase: "failed", reason: "gone", since: 2_001 }]);
});

test("a request that times out makes the panel stale, not failed", () => {
  const state = after(REQUESTED, updated("a"), updated("b"), {
    type: "panelFailed",
    panel: "a",
    reason: "no response in time",
    timedOut: true,
    at: 10,
  });
  expect(connectionStatus(state).color).toBe("yellow");
});

test("failed reconnects keep the start of the interruption and an open stream ends it", () => {
  const streamFailed = (at: number): LiveAction => ({ type: "streamFailed", reason: "gone", at });
  expect(after(streamFailed(5), streamFailed(9)).stream).toMatchObject({ phase: "reconnecting", since: 5 });
  expect(connectionStatus(after(REQUESTED, updated("a"), updated("b"), streamFailed(5)))).toMatchObject({
    color: "green",
    summary: "Polling",
    pollingSince: 5,
  });
  expect(after(streamFailed(5), { type: "streamOpened", at: 11 }).stream).toEqual({ phase: "open", since: 11 });
});

test("new query parameters keep the old values and mark them outdated", () => {
  const state = after(REQUESTED, updated("a"), { type: "panelsRequested", panels: ["a", "b"], at: 20 });
  expect(state.panels.a).toMatchObject({ phase: "connecting", outdated: true, since: 20 });
  expect(liveReducer(state, updated("a", 21)).panels.a?.outdated).toBe(false);
});

test("a change of range does not make the status flicker", () => {
  const state = after(REQUESTED, updated("a"), updated("b"), { type: "panelsRequested", panels: ["a", "b"], at: 20 });
  expect(connectionStatus(state).color).toBe("green");
  expect(connectionStatus(liveReducer(state, { type: "tick", at: 20 + SLOW_AFTER_MS })).color).toBe("yellow");
});

test("panels are added and removed with the list", () => {
  const list = create(ListPanelsResponseSchema, { panels: [{ name: "b" }, { name: "c" }] });
  const state = after(REQUESTED, updated("b"), { type: "panelsListed", list, at: 30 });
  expect(Object.keys(state.panels)).toEqual(["b", "c"]);
  expect(state.panels.b?.phase).toBe("live");
});

test("hasEvents stays true after the first event", () => {
  const state = after({ type: "eventsChecked", any: false });
  expect(state.hasEvents).toBe(false);
  const seen = liveReducer(state, updated("active_users"));
  expect(seen.hasEvents).toBe(true);
  expect(liveReducer(seen, { type: "eventsChecked", any: false }).hasEvents).toBe(true);
});
