// The time range of a query: a preset, or an interval of its own.

import { DAY, formatSpan, fromWallClock, isoWithOffset, toWallClock } from "../lib/time.ts";

export const PRESETS = [
  "1h",
  "6h",
  "24h",
  "7d",
  "30d",
  "90d",
  "today",
  "yesterday",
  "this-week",
  "this-month",
] as const;
export type Preset = (typeof PRESETS)[number];

/** These have a button and a key of their own. */
export const FREQUENT_PRESETS = ["1h", "6h", "24h", "7d"] as const satisfies Preset[];

/** Unix milliseconds. Without `to` it ends now. */
export interface Interval {
  from: number;
  to?: number;
}

export type Range = Preset | Interval;

const LABELS: Record<Preset, string> = {
  "1h": "last hour",
  "6h": "last 6 hours",
  "24h": "last 24 hours",
  "7d": "last 7 days",
  "30d": "last 30 days",
  "90d": "last 90 days",
  today: "today",
  yesterday: "yesterday",
  "this-week": "this week",
  "this-month": "this month",
};

export const isPreset = (text: string | undefined): text is Preset => PRESETS.includes(text as Preset);

/** Equal ranges have equal keys. */
export const rangeKey = (range: Range): string =>
  typeof range === "string" ? range : `${range.from}-${range.to ?? "now"}`;

/** "last 30 days", "yesterday", "Sat 14 Nov – Fri 20 Nov". */
export function rangeLabel(range: Range, zone: string, now: number): string {
  if (typeof range === "string") return LABELS[range];
  const { from, to } = range;
  return formatSpan(from, to ?? now, zone, now);
}

/** The same at the beginning of a label: "Last 30 days". */
export function rangeTitle(range: Range, zone: string, now: number): string {
  const label = rangeLabel(range, zone, now);
  return label.charAt(0).toUpperCase() + label.slice(1);
}

/** In a sentence: "the last hour", "yesterday". */
export function rangeWords(range: Range, zone: string, now: number): string {
  const label = rangeLabel(range, zone, now);
  return label.startsWith("last ") ? `the ${label}` : label;
}

/** In the name of a file: "30d", "2026-11-14T0000-2026-11-21T0000". */
export function rangeFileName(range: Range, zone: string): string {
  if (typeof range === "string") return range;
  const bound = (at: number) => isoWithOffset(at, zone).slice(0, 16).replace(":", "");
  return `${bound(range.from)}-${range.to === undefined ? "now" : bound(range.to)}`;
}

/** Whether the range has ended: its figures are final, and no bucket is running. */
export const isPast = (range: Range, now: number): boolean =>
  typeof range === "string" ? range === "yesterday" : range.to !== undefined && range.to <= now;

const HOUR = 3_600_000;
const LENGTHS: Partial<Record<Preset, number>> = {
  "1h": HOUR,
  "6h": 6 * HOUR,
  "24h": DAY,
  "7d": 7 * DAY,
  "30d": 30 * DAY,
  "90d": 90 * DAY,
};

/** About the bounds of a range, to start from when they are edited. The server computes the exact ones. */
export function boundsOf(range: Range, zone: string, now: number): Required<Interval> {
  if (typeof range !== "string") return { from: range.from, to: range.to ?? now };
  const length = LENGTHS[range];
  if (length !== undefined) return { from: now - length, to: now };
  const midnight = Math.floor(toWallClock(now, zone) / DAY) * DAY;
  const at = (wall: number) => fromWallClock(wall, zone);
  if (range === "yesterday") return { from: at(midnight - DAY), to: at(midnight) };
  if (range === "today") return { from: at(midnight), to: now };
  const date = new Date(midnight);
  // Weeks start on Mondays.
  const days = range === "this-week" ? (date.getUTCDay() + 6) % 7 : date.getUTCDate() - 1;
  return { from: at(midnight - days * DAY), to: now };
}

/** The server's maximum. */
export const MAX_INTERVAL_YEARS = 10;

/** Whether the server would accept the interval, as far as the page can tell. */
export function isValidInterval({ from, to = Number.POSITIVE_INFINITY }: Interval, now: number): boolean {
  const end = Math.min(to, now);
  return from < end && end - from <= MAX_INTERVAL_YEARS * 366 * DAY;
}

const TIME = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d))?)?(Z|[+-]\d\d:\d\d)?$/;

/**
 * An instant of an address, on the clock of the zone: "2026-11-21T10:00". A date alone is its midnight. A time that the
 * clock shows twice has its offset: "2026-10-25T02:30+01:00".
 */
export function parseTime(text: string | undefined, zone: string): number | undefined {
  const [, date, minutes = "00:00", seconds = "00", offset] = TIME.exec(text ?? "") ?? [];
  if (date === undefined) return undefined;
  const at = Date.parse(`${date}T${minutes}:${seconds}${offset ?? "Z"}`);
  // 31 February is an error, not 3 March.
  const exists = new Date(`${date}T00:00Z`).toJSON()?.startsWith(date);
  if (Number.isNaN(at) || !exists) return undefined;
  return offset === undefined ? fromWallClock(at, zone) : at;
}

export function formatTime(at: number, zone: string): string {
  const text = localTime(at, zone);
  return parseTime(text, zone) === at ? text : isoWithOffset(at, zone).replace(".000", "");
}

/** On the clock of the zone, as the native control has it: "2026-11-21T10:00". */
export function localTime(at: number, zone: string): string {
  const wall = new Date(toWallClock(at, zone)).toISOString();
  return wall.slice(0, at % 60_000 === 0 ? 16 : 19);
}
