// Where the labels of a time axis are: at round times of the zone's clock, whatever its offset.

import { LOCALE } from "./format.ts";
import { DAY, formatClock, fromWallClock, toWallClock } from "./time.ts";

export interface TimeTick {
  at: number;
  label: string;
  /** A new day on an axis of hours, or a new year on an axis of days. */
  major: boolean;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** People read :00, :15 and :30 at a glance; steps of 10 or 20 minutes and of 2 or 4 hours are left out. */
const CLOCK_STEPS = [
  SECOND,
  5 * SECOND,
  15 * SECOND,
  30 * SECOND,
  MINUTE,
  5 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
];
const DAY_STEPS = [1, 2, 7, 14];
const MONTH_STEPS = [1, 3, 6, 12, 24, 60, 120];

const CLOCK_LABEL_WIDTH = 60;
const DAY_LABEL_WIDTH = 68;

const named = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(LOCALE, { ...options, timeZone: "UTC" });
const weekdayFormat = named({ weekday: "short", day: "numeric" });
const dayFormat = named({ day: "numeric", month: "short" });
const monthFormat = named({ month: "short" });

/** The labels for a span that is drawn over `width` pixels. */
export function niceTimeTicks(start: number, end: number, zone: string, width: number): TimeTick[] {
  const span = end - start;
  if (!(span > 0) || !(width > 0)) return [];
  const fits = (step: number, labelWidth: number) => (step / span) * width >= labelWidth;
  const clockStep = CLOCK_STEPS.find((step) => fits(step, CLOCK_LABEL_WIDTH));
  if (clockStep !== undefined) return clockTicks(start, end, zone, clockStep);
  const dayStep = DAY_STEPS.find((days) => fits(days * DAY, DAY_LABEL_WIDTH));
  if (dayStep !== undefined) return dayTicks(start, end, zone, dayStep);
  const monthStep = MONTH_STEPS.find((months) => fits(months * 30 * DAY, DAY_LABEL_WIDTH)) ?? 240;
  return monthTicks(start, end, zone, monthStep);
}

function clockTicks(start: number, end: number, zone: string, step: number): TimeTick[] {
  const ticks: TimeTick[] = [];
  for (let wall = Math.ceil(toWallClock(start, zone) / step) * step; ; wall += step) {
    const at = fromWallClock(wall, zone);
    if (at > end) return ticks;
    // A time that the clock skips has no instant.
    if (at < start || toWallClock(at, zone) !== wall) continue;
    const major = wall % DAY === 0;
    ticks.push({ at, major, label: major ? weekdayFormat.format(wall).replace(",", "") : formatClock(at, zone) });
  }
}

function dayTicks(start: number, end: number, zone: string, days: number): TimeTick[] {
  const ticks: TimeTick[] = [];
  const step = days * DAY;
  // Weeks start on Mondays: 1970-01-05 was one.
  const anchor = days % 7 === 0 ? 4 * DAY : 0;
  for (let wall = Math.ceil((toWallClock(start, zone) - anchor) / step) * step + anchor; ; wall += step) {
    const at = fromWallClock(wall, zone);
    if (at > end) return ticks;
    if (at < start) continue;
    const label = days <= 2 && end - start <= 14 * DAY ? weekdayFormat : dayFormat;
    ticks.push({ at, major: new Date(wall).getUTCDate() === 1, label: label.format(wall).replace(",", "") });
  }
}

function monthTicks(start: number, end: number, zone: string, months: number): TimeTick[] {
  const ticks: TimeTick[] = [];
  const first = new Date(toWallClock(start, zone));
  const index = first.getUTCFullYear() * 12 + first.getUTCMonth();
  for (let month = Math.floor(index / months) * months; ; month += months) {
    const wall = Date.UTC(Math.floor(month / 12), month % 12);
    const at = fromWallClock(wall, zone);
    if (at > end) return ticks;
    if (at < start) continue;
    const major = month % 12 === 0;
    ticks.push({ at, major, label: major ? String(Math.floor(month / 12)) : monthFormat.format(wall) });
  }
}
