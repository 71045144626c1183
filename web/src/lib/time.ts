// Time zones and timestamp labels. Timestamps are Unix milliseconds everywhere on the page.

import { LOCALE } from "./format.ts";

export function isTimeZone(name: string | null): name is string {
  if (!name) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

export const localTimeZone = (): string => new Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** "Europe/Madrid" becomes "Madrid". */
export const timeZoneLabel = (zone: string): string => zone.split("/").at(-1)?.replaceAll("_", " ") ?? zone;

const formatters = new Map<string, Intl.DateTimeFormat>();

/** Cached: creating a formatter costs far more than using it, and a chart has hundreds of labels. */
function formatter(zone: string, key: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = `${zone} ${key}`;
  let cached = formatters.get(name);
  if (!cached) {
    cached = new Intl.DateTimeFormat(LOCALE, { ...options, timeZone: zone });
    formatters.set(name, cached);
  }
  return cached;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;

/** Time of day to the second. */
export const timeLabel = (at: number, zone: string): string =>
  formatter(zone, "seconds", { ...CLOCK, second: "2-digit" }).format(at);

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
/** As exactly as the server knows when an event was seen first and last. */
export const QUARTER_HOUR = 15 * MINUTE;

const offsets = new Map<string, number>();
const MAX_CACHED_OFFSETS = 20_000;

/** Offset of the zone from UTC at an instant, in milliseconds. */
export function zoneOffset(at: number, zone: string): number {
  // Offsets change only at multiples of a quarter of an hour.
  const quarter = Math.floor(at / (15 * MINUTE));
  const key = `${zone} ${quarter}`;
  const cached = offsets.get(key);
  if (cached !== undefined) return cached;
  const parts: Record<string, number> = {};
  const instant = quarter * 15 * MINUTE;
  const numeric = { year: "numeric", month: "numeric", day: "numeric", second: "numeric" } as const;
  for (const { type, value } of formatter(zone, "numeric", { ...numeric, ...CLOCK }).formatToParts(instant)) {
    parts[type] = Number(value);
  }
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  const offset = Date.UTC(year, month - 1, day, hour, minute, second) - instant;
  if (offsets.size >= MAX_CACHED_OFFSETS) offsets.clear();
  offsets.set(key, offset);
  return offset;
}

/** The wall clock of a zone as if it were UTC: its days all have 24 hours. */
export const toWallClock = (at: number, zone: string): number => at + zoneOffset(at, zone);

/** The instant of a wall clock time: the first of two, and the end of the gap if the clock skips it. */
export function fromWallClock(wall: number, zone: string): number {
  const before = wall - zoneOffset(wall - DAY, zone);
  if (toWallClock(before, zone) === wall) return before;
  const after = wall - zoneOffset(wall + DAY, zone);
  if (toWallClock(after, zone) === wall) return after;
  return before;
}

/** Midnight of a day in a zone. `days` counts from 1970-01-01. */
export const dayStart = (days: number, zone: string): number => fromWallClock(days * DAY, zone);

/** Whether the wall clock shows this time twice, because it is set back. */
export function isAmbiguous(at: number, zone: string): boolean {
  const setBack = zoneOffset(at - 3 * HOUR, zone) - zoneOffset(at + 3 * HOUR, zone);
  if (setBack <= 0) return false;
  const wall = toWallClock(at, zone);
  return toWallClock(at + setBack, zone) === wall || toWallClock(at - setBack, zone) === wall;
}

/** "UTC+1", "UTC−3:30", "UTC". */
export function offsetLabel(at: number, zone: string): string {
  const minutes = zoneOffset(at, zone) / MINUTE;
  if (minutes === 0) return "UTC";
  const rest = Math.abs(minutes) % 60;
  const hours = Math.floor(Math.abs(minutes) / 60);
  return `UTC${minutes < 0 ? "−" : "+"}${hours}${rest === 0 ? "" : `:${String(rest).padStart(2, "0")}`}`;
}

/** ISO 8601 with the zone's offset: 2026-11-21T11:05:00.000+01:00. */
export function isoWithOffset(at: number, zone: string): string {
  const minutes = Math.round(zoneOffset(at, zone) / MINUTE);
  const wall = new Date(at + minutes * MINUTE).toISOString().slice(0, -1);
  if (minutes === 0) return `${wall}Z`;
  const pad = (value: number) => String(value).padStart(2, "0");
  const size = Math.abs(minutes);
  return `${wall}${minutes < 0 ? "-" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

const yearOf = (at: number, zone: string): number => new Date(toWallClock(at, zone)).getUTCFullYear();

export const sameDay = (a: number, b: number, zone: string): boolean =>
  Math.floor(toWallClock(a, zone) / DAY) === Math.floor(toWallClock(b, zone) / DAY);

/** "10:05", with seconds if there are any, and with the offset if the clock shows the time twice. */
export function formatClock(at: number, zone: string, seconds = at % MINUTE !== 0): string {
  const clock = !seconds ? formatter(zone, "clock", CLOCK).format(at) : timeLabel(at, zone);
  return isAmbiguous(at, zone) ? `${clock} ${offsetLabel(at, zone)}` : clock;
}

/** "Sat 21 Nov", with the year if it is not that of `now`. */
export function formatDay(at: number, zone: string, now: number): string {
  const day = formatter(zone, "date", { weekday: "short", day: "numeric", month: "short" }).format(at).replace(",", "");
  const year = yearOf(at, zone);
  return year === yearOf(now, zone) ? day : `${day} ${year}`;
}

/** "Sat 21 Nov, 10:05". */
export const formatInstant = (at: number, zone: string, now: number, seconds?: boolean): string =>
  `${formatDay(at, zone, now)}, ${formatClock(at, zone, seconds)}`;

/** "10:05:09", with the day if `now` is far from it: a clock alone would look like that of today. */
export const clockOrInstant = (at: number, zone: string, now: number, seconds?: boolean): string =>
  Math.abs(now - at) < 20 * HOUR ? formatClock(at, zone, seconds) : formatInstant(at, zone, now, seconds);

/** "10:00–11:00" if it is the day of `now`, else with days: "Fri 20 Nov, 10:00–11:00". */
export function formatSpan(start: number, end: number, zone: string, now: number): string {
  // A span that ends at midnight ends on the day before.
  const midnights = [start, end].every((at) => toWallClock(at, zone) % DAY === 0);
  if (sameDay(start, end - 1, zone)) {
    if (midnights) return formatDay(start, zone, now);
    const clocks = `${formatClock(start, zone)}–${formatClock(end, zone)}`;
    return sameDay(start, now, zone) ? clocks : `${formatDay(start, zone, now)}, ${clocks}`;
  }
  if (midnights) return `${formatDay(start, zone, now)} – ${formatDay(end - 1, zone, now)}`;
  return `${formatInstant(start, zone, now)} – ${formatInstant(end, zone, now)}`;
}
