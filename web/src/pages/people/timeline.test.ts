import { expect, test } from "vitest";
import type { LiveEvent } from "../live/events.ts";
import { dayStrip, SESSION_GAP_MS, type Session, timelineRows } from "./timeline.ts";

const MINUTE = 60_000;
const event = (at: number, name = "page_view"): LiveEvent => ({
  id: `id${at}`,
  name,
  at,
  receivedAt: at,
  session: "s",
  user: "u",
  device: "mobile",
  country: "ES",
  properties: "{}",
});
const session = (start: number, end: number, events: number): Session => ({
  start,
  end,
  events,
  device: "tablet",
  country: "FR",
  firstPage: "/pricing",
});
const isFault = (name: string) => name === "error_occurred";
const shape = (events: LiveEvent[], sessions: Session[] = [], complete = true) =>
  timelineRows(events, sessions, complete, isFault).map((row) => {
    if (row.kind === "session") return `session ${row.start}-${row.end}: ${row.events}${row.atLeast ? "+" : ""}`;
    return row.kind === "gap" ? `gap ${row.ms}` : row.event.at;
  });

test("events are grouped in sessions, with the silence between them", () => {
  const late = 100 * MINUTE;
  expect(shape([event(late + 5), event(late), event(10), event(0)])).toEqual([
    `session ${late}-${late + 5}: 2`,
    late + 5,
    late,
    `gap ${late - 10}`,
    "session 0-10: 2",
    10,
    0,
  ]);
});

test("a silence of half an hour is still the same session", () => {
  expect(shape([event(SESSION_GAP_MS), event(0)])[0]).toBe(`session 0-${SESSION_GAP_MS}: 2`);
});

test("a session that the server knows has its own figures, also before all its events are loaded", () => {
  expect(shape([event(50)], [session(0, 60, 12)], false)).toEqual(["session 0-60: 12", 50]);
  const [header] = timelineRows([event(50)], [session(0, 60, 12)], true, isFault);
  expect(header).toMatchObject({ device: "tablet", country: "FR", page: "/pricing" });
});

test("a session that is cut by the end of what is loaded says so", () => {
  expect(shape([event(10), event(0)], [], false)[0]).toBe("session 0-10: 2+");
});

test("faults are counted", () => {
  const [header] = timelineRows([event(2, "error_occurred"), event(1)], [], true, isFault);
  expect(header).toMatchObject({ faults: 1 });
  expect(timelineRows([], [], true, isFault)).toEqual([]);
});

test("events by day", () => {
  expect(dayStrip([session(25, 26, 3), session(10, 12, 2), session(21, 22, 1), session(2, 3, 9)], [10, 20])).toEqual([
    { start: 10, events: 2 },
    { start: 20, events: 4 },
  ]);
});
