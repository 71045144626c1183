// The same span, one earlier or one later.

import { DAY, fromWallClock, toWallClock } from "../../lib/time.ts";
import { boundsOf, type Interval, PRESETS, type Preset, type Range } from "../../query/range.ts";

const MINUTE = 60_000;
const CALENDAR = ["today", "this-week", "this-month"] as const satisfies Preset[];

const isMidnight = (wall: number): boolean => wall % DAY === 0;
const isMonthStart = (wall: number): boolean => isMidnight(wall) && new Date(wall).getUTCDate() === 1;
const addMonths = (wall: number, months: number): number => {
  const date = new Date(wall);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1);
};
const monthsBetween = (from: number, to: number): number => {
  const [a, b] = [new Date(from), new Date(to)];
  return (b.getUTCFullYear() - a.getUTCFullYear()) * 12 + b.getUTCMonth() - a.getUTCMonth();
};

/** The bounds of a range on the clock of the zone; a running day, week or month is the whole one. */
function wallBounds(range: Range, zone: string, now: number): { from: number; to: number } {
  const bounds = boundsOf(range, zone, now);
  const from = toWallClock(bounds.from, zone);
  if (range === "today") return { from, to: from + DAY };
  if (range === "this-week") return { from, to: from + 7 * DAY };
  if (range === "this-month") return { from, to: addMonths(from, 1) };
  return { from, to: toWallClock(bounds.to, zone) };
}

/** Whole months move by months, whole days by days of the zone, and everything else by its length. */
function moved(range: Range, zone: string, now: number, steps: -1 | 1): Required<Interval> {
  const wall = wallBounds(range, zone, now);
  const at = (time: number) => fromWallClock(time, zone);
  if (isMonthStart(wall.from) && isMonthStart(wall.to)) {
    const months = monthsBetween(wall.from, wall.to) * steps;
    return { from: at(addMonths(wall.from, months)), to: at(addMonths(wall.to, months)) };
  }
  if (isMidnight(wall.from) && isMidnight(wall.to)) {
    const length = (wall.to - wall.from) * steps;
    return { from: at(wall.from + length), to: at(wall.to + length) };
  }
  const bounds = boundsOf(range, zone, now);
  const length = (bounds.to - bounds.from) * steps;
  const minute = (time: number) => Math.round(time / MINUTE) * MINUTE;
  return { from: minute(bounds.from + length), to: minute(bounds.to + length) };
}

/** The preset that ends now and covers these bounds. Undefined if there is none. */
function presetOf({ from, to }: Required<Interval>, zone: string, now: number): Preset | undefined {
  const calendar = CALENDAR.find((name) => {
    const whole = wallBounds(name, zone, now);
    return fromWallClock(whole.from, zone) === from && fromWallClock(whole.to, zone) === to;
  });
  if (calendar) return calendar;
  return PRESETS.find((name) => {
    if (name === "yesterday" || (CALENDAR as readonly Preset[]).includes(name)) return false;
    const bounds = boundsOf(name, zone, now);
    return Math.abs(bounds.to - bounds.from - (to - from)) < MINUTE;
  });
}

/** The span before or after the range. Undefined if it would be in the future, or before what is stored. */
export function stepped(
  range: Range,
  zone: string,
  now: number,
  steps: -1 | 1,
  oldest = Number.NEGATIVE_INFINITY,
): Range | undefined {
  const bounds = boundsOf(range, zone, now);
  if (steps === 1 && bounds.to >= now) return undefined;
  const next = moved(range, zone, now, steps);
  if (next.to <= oldest) return undefined;
  if (next.to < now) return next;
  // What reaches the present ends with it, and goes on with it.
  return presetOf(next, zone, now) ?? { from: Math.min(next.from, now - MINUTE) };
}
