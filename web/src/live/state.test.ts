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

const ASKED: LiveAction = { type: "asked", panels: ["a", "b"], at: 1 };
const answered = (panel: string, at = 2): LiveAction => ({ type: "answered", panel, value: users(1n), at });

test("a panel is connecting until it answers", () => {
  const state = after(ASKED, answered("a"));
  expect(state.panels.a?.phase).toBe("live");
  expect(state.panels.b?.phase).toBe("connecting");
  expect(connectionStatus(state)).toMatchObject({ color: "yellow", summary: "Connecting" });
});

test("the light is green when all panels answer", () => {
  expect(connectionStatus(after(ASKED, answered("a"), answered("b"))).color).toBe("green");
});

test("a panel that does not answer for seconds is late, and says since when", () => {
  const state = after(ASKED, answered("a"), { type: "tick", at: 1 + SLOW_AFTER_MS });
  expect(state.panels.b).toMatchObject({ phase: "stale", reason: "no answer yet", since: 1 });
  expect(connectionStatus(state).color).toBe("yellow");
});

test("a tick changes nothing when nothing is late", () => {
  const state = after(ASKED, answered("a"), answered("b"));
  expect(liveReducer(state, { type: "tick", at: 1e9 })).toBe(state);
});

test("a stale answer keeps the values and says why and since when", () => {
  const state = after(ASKED, answered("a"), answered("b"), {
    type: "answered",
    panel: "a",
    value: users(7n),
    staleReason: "ClickHouse is away",
    staleSince: 50,
    at: 60,
  });
  expect(state.panels.a).toMatchObject({ phase: "stale", reason: "ClickHouse is away", since: 50 });
  expect(connectionStatus(state)).toMatchObject({ color: "yellow", summary: "1 of 2 panels late" });
});

test("a stale answer without a value keeps the value before", () => {
  const state = after(ASKED, answered("a"), { type: "answered", panel: "a", staleReason: "away", at: 9 });
  expect(state.panels.a?.value).toEqual(users(1n));
});

test("an unreachable panel turns the light red, from when it began", () => {
  const lost = (at: number): LiveAction => ({ type: "unanswered", panel: "a", reason: "gone", slow: false, at });
  const state = after(ASKED, answered("a"), answered("b"), lost(10), lost(15));
  expect(connectionStatus(state)).toMatchObject({ color: "red", summary: "1 of 2 panels unreachable" });
  expect(connectionStatus(state).problems).toEqual([{ panels: ["a"], phase: "failed", reason: "gone", since: 10 }]);
});

test("panels that are lost for one reason at one time are told together", () => {
  const lost = (panel: string, at: number): LiveAction => ({
    type: "unanswered",
    panel,
    reason: "gone",
    slow: false,
    at,
  });
  const { summary, problems } = connectionStatus(after(ASKED, lost("a", 2_001), lost("b", 2_900)));
  expect(summary).toBe("Server unreachable");
  expect(problems).toEqual([{ panels: ["a", "b"], phase: "failed", reason: "gone", since: 2_001 }]);
});

test("a poll that is merely slow is late, not lost", () => {
  const state = after(ASKED, answered("a"), answered("b"), {
    type: "unanswered",
    panel: "a",
    reason: "no answer in time",
    slow: true,
    at: 10,
  });
  expect(connectionStatus(state).color).toBe("yellow");
});

test("the break's instant stays through all attempts, and an open stream ends it", () => {
  const broken = (at: number): LiveAction => ({ type: "broken", reason: "gone", at });
  expect(after(broken(5), broken(9)).stream).toMatchObject({ phase: "broken", since: 5 });
  expect(connectionStatus(after(ASKED, answered("a"), answered("b"), broken(5)))).toMatchObject({
    color: "green",
    summary: "Polling",
    pollingSince: 5,
  });
  expect(after(broken(5), { type: "opened", at: 11 }).stream).toEqual({ phase: "open", since: 11 });
});

test("another question keeps the old values and calls them outdated", () => {
  const state = after(ASKED, answered("a"), { type: "asked", panels: ["a", "b"], at: 20 });
  expect(state.panels.a).toMatchObject({ phase: "connecting", outdated: true, since: 20 });
  expect(liveReducer(state, answered("a", 21)).panels.a?.outdated).toBe(false);
});

test("another range does not make the light flicker", () => {
  const state = after(ASKED, answered("a"), answered("b"), { type: "asked", panels: ["a", "b"], at: 20 });
  expect(connectionStatus(state).color).toBe("green");
  expect(connectionStatus(liveReducer(state, { type: "tick", at: 20 + SLOW_AFTER_MS })).color).toBe("yellow");
});

test("panels come and go with the list", () => {
  const list = create(ListPanelsResponseSchema, { panels: [{ name: "b" }, { name: "c" }] });
  const state = after(ASKED, answered("b"), { type: "listed", list, at: 30 });
  expect(Object.keys(state.panels)).toEqual(["b", "c"]);
  expect(state.panels.b?.phase).toBe("live");
});

test("any event ends the first minutes for good", () => {
  const state = after({ type: "events", any: false });
  expect(state.hasEvents).toBe(false);
  const seen = liveReducer(state, answered("active_users"));
  expect(seen.hasEvents).toBe(true);
  expect(liveReducer(seen, { type: "events", any: false }).hasEvents).toBe(true);
});
