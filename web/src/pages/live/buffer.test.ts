import { expect, test } from "vitest";
import { EventBuffer, type Row } from "./buffer.ts";
import type { LiveEvent } from "./events.ts";

const event = (at: number, properties = "{}"): LiveEvent => ({
  id: "",
  name: "e",
  at,
  receivedAt: at,
  session: `s${at}`,
  user: "",
  device: "unknown",
  country: "ZZ",
  properties,
});
const events = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => event(from + i));
const shown = (buffer: EventBuffer) =>
  Array.from({ length: buffer.length }, (_, i) => buffer.at(i) as Row).map((row) =>
    row.kind === "event" ? row.event.at : `${row.from}-${row.to}`,
  );

test("the newest is on top", () => {
  const buffer = new EventBuffer();
  buffer.append(events(1, 3));
  expect(shown(buffer)).toEqual([3, 2, 1]);
  expect(buffer.newest?.at).toBe(3);
  expect(buffer.oldest?.at).toBe(1);
});

test("a list that is held does not move, and shows what waited when it is released", () => {
  const buffer = new EventBuffer();
  buffer.append(events(1, 2));
  buffer.hold(true);
  buffer.append(events(3, 5));
  expect([shown(buffer), buffer.waiting, buffer.newest?.at]).toEqual([[2, 1], 3, 5]);
  buffer.hold(false);
  expect([shown(buffer), buffer.waiting]).toEqual([[5, 4, 3, 2, 1], 0]);
});

test("an empty list shows its first events, also if it is held", () => {
  const buffer = new EventBuffer();
  buffer.hold(true);
  buffer.append(events(1, 2));
  buffer.append(events(3, 3));
  expect([shown(buffer), buffer.waiting]).toEqual([[2, 1], 1]);
});

test("the oldest rows are dropped beyond the limit, and counted", () => {
  const buffer = new EventBuffer({ rows: 10, characters: 1e9 });
  buffer.append(events(1, 25));
  expect(shown(buffer)).toHaveLength(10);
  expect(shown(buffer)[0]).toBe(25);
  expect(buffer.dropped).toBe(15);
});

test("long properties count, not only rows", () => {
  const buffer = new EventBuffer({ rows: 1_000, characters: 10_000 });
  for (let at = 1; at <= 20; at += 1) buffer.append([event(at, "x".repeat(1_000))]);
  expect(buffer.length).toBeLessThan(10);
  expect(shown(buffer)[0]).toBe(20);
});

test("a list that is held for long drops what waits, and says so with a gap", () => {
  const buffer = new EventBuffer({ rows: 10, characters: 1e9 });
  buffer.append(events(1, 5));
  buffer.hold(true);
  buffer.append(events(6, 30));
  expect(shown(buffer)).toEqual([5, 4, 3, 2, 1]);
  buffer.hold(false);
  expect(shown(buffer).slice(0, 3)).toEqual([30, 29, 28]);
  expect(buffer.length).toBeLessThanOrEqual(11);
});

test("events that are read again are told from new ones", () => {
  const buffer = new EventBuffer();
  buffer.append(events(1, 5));
  expect(buffer.unknown(events(4, 7))).toEqual({ added: events(6, 7), overlaps: true });
  expect(buffer.unknown(events(8, 9)).overlaps).toBe(false);
});

test("a gap is filled in its place, as far as it was loaded", () => {
  const buffer = new EventBuffer();
  buffer.append(events(1, 2));
  buffer.appendGap(2, 8);
  buffer.append(events(8, 9));
  const key = buffer.at(2)?.key ?? 0;
  buffer.fillGap(key, events(6, 8).reverse(), { from: 2, to: 6 });
  expect(shown(buffer)).toEqual([9, 8, 7, 6, "2-6", 2, 1]);
  buffer.fillGap(key, events(2, 6).reverse());
  expect(shown(buffer)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1]);
});

test("a gap tells why it could not be loaded", () => {
  const buffer = new EventBuffer();
  buffer.appendGap(1, 2);
  const key = buffer.at(0)?.key ?? 0;
  buffer.setGap(key, { state: "failed", reason: "busy" });
  expect(buffer.at(0)).toMatchObject({ state: "failed", reason: "busy" });
  buffer.setGap(key, { state: "loading" });
  expect(buffer.at(0)).toMatchObject({ state: "loading", reason: undefined });
});

test("older events are added at the end, without those that are there", () => {
  const buffer = new EventBuffer();
  buffer.append(events(5, 6));
  buffer.addOlder(events(3, 5).reverse());
  expect(shown(buffer)).toEqual([6, 5, 4, 3]);
});

test("a hundred thousand rows and more", () => {
  const buffer = new EventBuffer();
  for (let at = 0; at < 250_000; at += 250) buffer.append(events(at, at + 249));
  expect(buffer.length).toBeLessThanOrEqual(101_000);
  expect(buffer.length).toBeGreaterThanOrEqual(100_000);
  expect(buffer.isFull).toBe(true);
});
