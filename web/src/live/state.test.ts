import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { PanelValue } from "../api/value.ts";
import { GetActiveUsersResponseSchema, ListPanelsResponseSchema } from "../gen/millrace/v1/dashboard_pb.ts";
import { connectionOf } from "./connection.ts";
import { type Happening, type LiveState, reduce, SLOW_AFTER_MS, startState } from "./state.ts";

const users = (activeUsers: bigint): PanelValue => ({
  case: "activeUsers",
  value: create(GetActiveUsersResponseSchema, { activeUsers }),
});

const after = (...happenings: Happening[]): LiveState => happenings.reduce(reduce, startState(0));

const ASKED: Happening = { type: "asked", panels: ["a", "b"], at: 1 };
const answered = (panel: string, at = 2): Happening => ({ type: "answered", panel, value: users(1n), at });

test("a panel is connecting until it answers", () => {
  const state = after(ASKED, answered("a"));
  expect(state.panels.a?.phase).toBe("live");
  expect(state.panels.b?.phase).toBe("connecting");
  expect(connectionOf(state)).toMatchObject({ light: "yellow", summary: "Connecting" });
});

test("the light is green when all panels answer", () => {
  expect(connectionOf(after(ASKED, answered("a"), answered("b"))).light).toBe("green");
});

test("a panel that does not answer for seconds is late, and says since when", () => {
  const state = after(ASKED, answered("a"), { type: "tick", at: 1 + SLOW_AFTER_MS });
  expect(state.panels.b).toMatchObject({ phase: "stale", reason: "no answer yet", since: 1 });
  expect(connectionOf(state).light).toBe("yellow");
});

test("a tick changes nothing when nothing is late", () => {
  const state = after(ASKED, answered("a"), answered("b"));
  expect(reduce(state, { type: "tick", at: 1e9 })).toBe(state);
});

test("a stale answer keeps the figures and says why and since when", () => {
  const state = after(ASKED, answered("a"), answered("b"), {
    type: "answered",
    panel: "a",
    value: users(7n),
    staleReason: "ClickHouse is away",
    staleSince: 50,
    at: 60,
  });
  expect(state.panels.a).toMatchObject({ phase: "stale", reason: "ClickHouse is away", since: 50 });
  expect(connectionOf(state)).toMatchObject({ light: "yellow", summary: "1 of 2 panels late" });
});

test("a stale answer without a value keeps the value before", () => {
  const state = after(ASKED, answered("a"), { type: "answered", panel: "a", staleReason: "away", at: 9 });
  expect(state.panels.a?.value).toEqual(users(1n));
});

test("an unreachable panel turns the light red, from when it began", () => {
  const lost = (at: number): Happening => ({ type: "unanswered", panel: "a", reason: "gone", slow: false, at });
  const state = after(ASKED, answered("a"), answered("b"), lost(10), lost(15));
  expect(connectionOf(state)).toMatchObject({ light: "red", summary: "1 of 2 panels unreachable" });
  expect(connectionOf(state).troubles).toEqual([{ panels: ["a"], phase: "failed", reason: "gone", since: 10 }]);
});

test("panels that are lost for one reason at one time are told together", () => {
  const lost = (panel: string, at: number): Happening => ({
    type: "unanswered",
    panel,
    reason: "gone",
    slow: false,
    at,
  });
  const { summary, troubles } = connectionOf(after(ASKED, lost("a", 2_001), lost("b", 2_900)));
  expect(summary).toBe("Server unreachable");
  expect(troubles).toEqual([{ panels: ["a", "b"], phase: "failed", reason: "gone", since: 2_001 }]);
});

test("a poll that is merely slow is late, not lost", () => {
  const state = after(ASKED, answered("a"), answered("b"), {
    type: "unanswered",
    panel: "a",
    reason: "no answer in time",
    slow: true,
    at: 10,
  });
  expect(connectionOf(state).light).toBe("yellow");
});

test("the break's instant stays through all attempts, and an open stream ends it", () => {
  const broken = (at: number): Happening => ({ type: "broken", reason: "gone", at });
  expect(after(broken(5), broken(9)).stream).toMatchObject({ phase: "broken", since: 5 });
  expect(connectionOf(after(ASKED, answered("a"), answered("b"), broken(5)))).toMatchObject({
    light: "green",
    summary: "Polling",
    pollingSince: 5,
  });
  expect(after(broken(5), { type: "opened", at: 11 }).stream).toEqual({ phase: "open", since: 11 });
});

test("another question keeps the old figures and calls them outdated", () => {
  const state = after(ASKED, answered("a"), { type: "asked", panels: ["a", "b"], at: 20 });
  expect(state.panels.a).toMatchObject({ phase: "connecting", outdated: true, since: 20 });
  expect(reduce(state, answered("a", 21)).panels.a?.outdated).toBe(false);
});

test("another range does not make the light flicker", () => {
  const state = after(ASKED, answered("a"), answered("b"), { type: "asked", panels: ["a", "b"], at: 20 });
  expect(connectionOf(state).light).toBe("green");
  expect(connectionOf(reduce(state, { type: "tick", at: 20 + SLOW_AFTER_MS })).light).toBe("yellow");
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
  const seen = reduce(state, answered("active_users"));
  expect(seen.hasEvents).toBe(true);
  expect(reduce(seen, { type: "events", any: false }).hasEvents).toBe(true);
});
