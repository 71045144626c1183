// When the disk is full, if the tables go on growing as they did.

import type { StorageHealth } from "../../api/messages.ts";
import { formatBytes, formatCount, pluralize } from "../../lib/format.ts";
import { DAY } from "../../lib/time.ts";
import { ageText } from "../../strings.ts";
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

/** `uptimeMs`: the growth was observed for so long. `retentionDays`: how long events are kept; 0 if it is not known. */
export function forecastOf(storage: StorageHealth, uptimeMs: number, retentionDays: number): Forecast {
  const { freeBytes, growthBytesPerDay: growth } = storage;
  if (growth === undefined) return { mood: "unknown", text: words.growthLater, assumed: "" };
  const retention = retentionDays > 0 ? words.retention(formatCount(retentionDays)) : "";
  if (growth <= 0n) return { mood: "good", text: words.notGrowing, assumed: retention };
  const days = Number(freeBytes) / Number(growth);
  const assumed = [words.assumed(formatBytes(growth)), retention].filter(Boolean).join(" ");
  // An import or a busy hour says little about the days to come.
  const isObserved = uptimeMs >= DAY;
  const basis = isObserved ? words.atGrowth : words.atGrowthOf(ageText(uptimeMs));
  if (days > MAX_DAYS) return { mood: "good", text: words.notSoon(basis), assumed };
  // After the retention as many events are dropped as arrive: the growth ends before the disk is full.
  if (retentionDays > 0 && days > retentionDays) {
    return { mood: "good", text: words.afterRetention(daysText(days), formatCount(retentionDays), basis), assumed };
  }
  const mood = !isObserved ? "good" : days < DANGER_DAYS ? "danger" : days < WARN_DAYS ? "warn" : "good";
  return { mood, text: days < 1 ? words.fullToday(basis) : words.fullIn(daysText(days), basis), assumed };
}
