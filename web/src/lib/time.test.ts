import { expect, test } from "vitest";
import {
  dayStart,
  formatClock,
  formatDay,
  formatInstant,
  formatSpan,
  fromWallClock,
  isAmbiguous,
  isoWithOffset,
  isTimeZone,
  offsetLabel,
  timeZoneLabel,
  toWallClock,
  zoneOffset,
} from "./time.ts";
import { niceTimeTicks } from "./timeTicks.ts";
import { niceScale } from "./valueTicks.ts";

const HOUR = 3_600_000;
const MADRID = "Europe/Madrid";
const NOON = Date.UTC(2026, 10, 21, 12, 5);

test("labels use the time zone", () => {
  expect(formatClock(NOON, "UTC")).toBe("12:05");
  expect(formatClock(NOON, "Asia/Kolkata")).toBe("17:35");
  const late = Date.UTC(2026, 10, 20, 23);
  expect(formatDay(late, "UTC", NOON)).toBe("Fri 20 Nov");
  expect(formatDay(late, MADRID, NOON)).toBe("Sat 21 Nov");
});

test("unknown time zones are rejected", () => {
  expect(isTimeZone(MADRID)).toBe(true);
  expect(isTimeZone("Europe/Atlantis")).toBe(false);
  expect(timeZoneLabel("America/New_York")).toBe("New York");
});

test("offsets follow daylight saving time and half hours", () => {
  expect(zoneOffset(Date.UTC(2026, 0, 1), MADRID)).toBe(HOUR);
  expect(zoneOffset(Date.UTC(2026, 6, 1), MADRID)).toBe(2 * HOUR);
  expect(zoneOffset(Date.UTC(2026, 6, 1), "Asia/Kolkata")).toBe(5.5 * HOUR);
  expect(offsetLabel(NOON, "America/St_Johns")).toBe("UTC−3:30");
  expect(zoneOffset(Date.UTC(1969, 11, 31, 23, 50), "UTC")).toBe(0);
});

test("the hour that the clock shows twice has its offset", () => {
  const first = Date.UTC(2026, 9, 25, 0, 30);
  expect(formatClock(first, MADRID)).toBe("02:30 UTC+2");
  expect(formatClock(first + HOUR, MADRID)).toBe("02:30 UTC+1");
  expect(formatClock(first + 2 * HOUR, MADRID)).toBe("03:30");
  expect(isAmbiguous(first - HOUR, MADRID)).toBe(false);
  expect(fromWallClock(Date.UTC(2026, 9, 25, 2, 30), MADRID)).toBe(first);
});

test("a day starts at midnight of its zone", () => {
  const days = Date.UTC(2026, 9, 26) / (24 * HOUR);
  expect(dayStart(days, MADRID)).toBe(Date.UTC(2026, 9, 25, 23));
  expect(dayStart(days - 1, MADRID)).toBe(Date.UTC(2026, 9, 24, 22));
});

test("the year is shown when it differs", () => {
  expect(formatInstant(NOON, "UTC", NOON)).toBe("Sat 21 Nov, 12:05");
  expect(formatInstant(Date.UTC(2025, 11, 31, 23), "UTC", NOON)).toBe("Wed 31 Dec 2025, 23:00");
});

test("a span leaves out what is the same", () => {
  const from = Date.UTC(2026, 10, 21, 10);
  expect(formatSpan(from, from + HOUR, "UTC", NOON)).toBe("10:00–11:00");
  expect(formatSpan(from - 24 * HOUR, from - 23 * HOUR, "UTC", NOON)).toBe("Fri 20 Nov, 10:00–11:00");
  expect(formatSpan(from - 24 * HOUR, from, "UTC", NOON)).toBe("Fri 20 Nov, 10:00 – Sat 21 Nov, 10:00");
  expect(formatSpan(Date.UTC(2026, 10, 20), Date.UTC(2026, 10, 21), "UTC", NOON)).toBe("Fri 20 Nov");
  expect(formatSpan(Date.UTC(2026, 10, 14), Date.UTC(2026, 10, 21), "UTC", NOON)).toBe("Sat 14 Nov – Fri 20 Nov");
});

test("instants keep the zone's offset in files", () => {
  expect(isoWithOffset(NOON, MADRID)).toBe("2026-11-21T13:05:00.000+01:00");
  expect(isoWithOffset(NOON, "America/St_Johns")).toBe("2026-11-21T08:35:00.000-03:30");
  expect(isoWithOffset(NOON, "UTC")).toBe("2026-11-21T12:05:00.000Z");
});

const labels = (start: number, end: number, zone: string, width: number) =>
  niceTimeTicks(start, end, zone, width).map(({ label }) => label);

test("an hour has labels at quarters, whatever minute it starts at", () => {
  const start = Date.UTC(2026, 10, 21, 10, 17);
  expect(labels(start, start + HOUR, "UTC", 400)).toEqual(["10:30", "10:45", "11:00", "11:15"]);
  expect(labels(start, start + HOUR, "Asia/Kathmandu", 400)).toEqual(["16:15", "16:30", "16:45", "17:00"]);
});

test("a day has its midnight marked, and a week has one label a day", () => {
  const start = Date.UTC(2026, 10, 20, 13, 45);
  expect(labels(start, start + 24 * HOUR, "UTC", 300)).toEqual(["18:00", "Sat 21", "06:00", "12:00"]);
  expect(labels(start, start + 7 * 24 * HOUR, MADRID, 700)).toEqual([
    "Sat 21",
    "Sun 22",
    "Mon 23",
    "Tue 24",
    "Wed 25",
    "Thu 26",
    "Fri 27",
  ]);
});

test("labels keep to the wall clock across a change to and from daylight saving time", () => {
  const autumn = Date.UTC(2026, 9, 24, 22);
  expect(labels(autumn, autumn + 25 * HOUR, MADRID, 600)).toEqual([
    "Sun 25",
    "03:00",
    "06:00",
    "09:00",
    "12:00",
    "15:00",
    "18:00",
    "21:00",
    "Mon 26",
  ]);
  const spring = Date.UTC(2026, 2, 29, 0);
  expect(labels(spring, spring + 3 * HOUR, MADRID, 300)).toEqual(["01:00", "03:00", "04:00", "05:00"]);
});

test("30 and 90 days have labels on Mondays or months, across a change of the clock", () => {
  const end = Date.UTC(2026, 10, 21, 10);
  const mondays = labels(end - 30 * 24 * HOUR, end, MADRID, 500);
  expect(mondays).toEqual(["26 Oct", "2 Nov", "9 Nov", "16 Nov"]);
  const at = niceTimeTicks(end - 30 * 24 * HOUR, end, MADRID, 500).map(({ at }) => toWallClock(at, MADRID));
  for (const wall of at) expect([new Date(wall).getUTCDay(), wall % (24 * HOUR)]).toEqual([1, 0]);
  expect(labels(end - 90 * 24 * HOUR, end, MADRID, 700)).toEqual([
    "31 Aug",
    "14 Sept",
    "28 Sept",
    "12 Oct",
    "26 Oct",
    "9 Nov",
  ]);
  expect(labels(end - 90 * 24 * HOUR, end, MADRID, 260)).toEqual(["Sept", "Oct", "Nov"]);
});

test("years have months", () => {
  expect(labels(Date.UTC(2025, 10, 1), Date.UTC(2026, 10, 1), "UTC", 400)).toEqual(["2026", "Apr", "Jul", "Oct"]);
});

test("counts have whole labels, and negative values are covered", () => {
  expect(niceScale(0, 1, 4, true).ticks).toEqual([0, 1]);
  expect(niceScale(0, 1350, 4, true).ticks).toEqual([0, 500, 1000, 1500]);
  expect(niceScale(-3, 12.1, 4, false).ticks).toEqual([-5, 0, 5, 10, 15]);
  expect(niceScale(0, 0.3, 3, false).ticks).toEqual([0, 0.1, 0.2, 0.3]);
  expect(niceScale(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 4, true).ticks).toEqual([0, 1]);
});
