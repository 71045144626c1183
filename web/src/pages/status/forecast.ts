// When the disk is full, if the tables go on growing as they did.

import type { StorageHealth } from "../../api/messages.ts";
import { formatBytes, formatCount, pluralize } from "../../lib/format.ts";
import { strings } from "./strings.ts";

const words = strings.disk;

export interface Forecast {
  mood: "unknown" | "good" | "warn" | "danger";
  text: string;
  /** What is assumed. */
  assumed: string;
}

const WARN_DAYS = 30;
const DANGER_DAYS = 7;
/** Beyond this, a forecast says nothing. */
const MAX_DAYS = 3_650;

/** "41 days", "9 weeks", "14 months". */
export function daysText(days: number): string {
  if (days < 1) return words.lessThanDay;
  if (days < 60) return pluralize(Math.round(days), "day");
  if (days < 730) return pluralize(Math.round(days / 30.4), "month");
  return pluralize(Math.round(days / 365), "year");
}

/** `retentionDays`: how long events are kept; 0 if it is not known. */
export function forecastOf(storage: StorageHealth, retentionDays: number): Forecast {
  const { freeBytes, growthBytesPerDay: growth } = storage;
  if (growth === undefined) return { mood: "unknown", text: words.growthLater, assumed: "" };
  const retention = retentionDays > 0 ? words.retention(formatCount(retentionDays)) : "";
  if (growth <= 0n) return { mood: "good", text: words.notGrowing, assumed: retention };
  const days = Number(freeBytes) / Number(growth);
  const assumed = [words.assumed(formatBytes(growth)), retention].filter(Boolean).join(" ");
  if (days > MAX_DAYS) return { mood: "good", text: words.notSoon, assumed };
  const mood = days < DANGER_DAYS ? "danger" : days < WARN_DAYS ? "warn" : "good";
  // After the retention as many events are dropped as arrive: the growth ends before the disk is full.
  if (retentionDays > 0 && days > retentionDays) {
    return { mood, text: words.afterRetention(daysText(days), formatCount(retentionDays)), assumed };
  }
  return { mood, text: days < 1 ? words.fullToday : words.fullIn(daysText(days)), assumed };
}
