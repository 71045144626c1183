// Times as they are typed, and what is wrong with them.

import { DAY, fromWallClock, toWallClock } from "../../lib/time.ts";
import {
  boundsOf,
  type Interval,
  isValidInterval,
  localTime,
  MAX_INTERVAL_YEARS,
  parseTime,
  type Range,
} from "../../query/range.ts";
import type { Days } from "./calendar.ts";
import { enteredStrings } from "./enteredStrings.ts";
import { rangeStrings } from "./strings.ts";

/** In the format of the native controls: "2026-11-21T10:00". */
export interface Entered {
  from: string;
  to: string;
  /** Ends with the present. `to` is not used. */
  untilNow: boolean;
}

const MINUTE = 60_000;
const minutes = (at: number, zone: string): string => localTime(Math.floor(at / MINUTE) * MINUTE, zone);

export const dayOf = (at: number, zone: string): number => Math.floor(toWallClock(at, zone) / DAY);

export function enteredFrom(range: Range, zone: string, now: number): Entered {
  const { from, to } = boundsOf(range, zone, now);
  const untilNow = typeof range === "string" ? range !== "yesterday" : range.to === undefined;
  return { from: minutes(from, zone), to: minutes(to, zone), untilNow };
}

/** Whole days, as they are chosen in the calendar. */
export function enteredDays({ first, last = first }: Days, zone: string, today: number): Entered {
  const midnight = (day: number) => minutes(fromWallClock(day * DAY, zone), zone);
  return { from: midnight(first), to: midnight(last + 1), untilNow: last >= today };
}

/** The days that an interval touches. */
export function daysOf({ from, to, untilNow }: Entered, zone: string, now: number): Days | undefined {
  const start = parseTime(from, zone);
  const end = untilNow ? now : parseTime(to, zone);
  if (start === undefined || end === undefined || end <= start) return undefined;
  return { first: dayOf(start, zone), last: dayOf(end - 1, zone) };
}

export interface Checked {
  interval?: Interval;
  errors: { from?: string; to?: string };
}

/** The interval, or what is wrong in each field. `stored` says since when there are figures. */
export function check(
  entered: Entered,
  zone: string,
  now: number,
  stored: { oldest?: number; words: string },
): Checked {
  const words = rangeStrings.errors;
  const from = parseTime(entered.from, zone);
  const to = entered.untilNow ? undefined : parseTime(entered.to, zone);
  const errors: Checked["errors"] = {};
  if (from === undefined) errors.from = words.fromMissing;
  else if (stored.oldest !== undefined && from < Math.floor(stored.oldest / MINUTE) * MINUTE)
    errors.from = stored.words;
  else if (from >= now) errors.from = words.futureStart;
  if (!entered.untilNow) {
    if (to === undefined) errors.to = words.toMissing;
    // The running minute may be entered.
    else if (to > now + MINUTE) errors.to = words.future;
    else if (from !== undefined && to <= from) errors.to = words.order;
  }
  if (errors.from || errors.to || from === undefined) return { errors };
  const interval = to === undefined ? { from } : { from, to };
  if (!isValidInterval(interval, now)) return { errors: { from: enteredStrings.customTooLong(MAX_INTERVAL_YEARS) } };
  return { interval, errors };
}
