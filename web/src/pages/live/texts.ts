// Texts about events that need more than a word: times with milliseconds, conditions.

import { dimensionWords } from "../../frame/words.ts";
import { countryName, formatCount, formatDuration, formatFixed } from "../../lib/format.ts";
import { DAY, formatClock, formatDay, timeLabel, toWallClock } from "../../lib/time.ts";
import { type Condition, takesValue } from "./conditions.ts";
import { words } from "./strings.ts";

const dayOf = (at: number, zone: string) => Math.floor(toWallClock(at, zone) / DAY);

/** "12:05:09.123"; with the day instead of milliseconds if that is not today: "21 Nov 12:05:09". */
export function eventTime(at: number, zone: string, now: number): string {
  const clock = timeLabel(at, zone);
  if (dayOf(at, zone) === dayOf(now, zone)) return `${clock}.${String(((at % 1000) + 1000) % 1000).padStart(3, "0")}`;
  return `${formatDay(at, zone, now).replace(/^\w+ /, "")} ${clock}`;
}

/** "12:05", with the day if that is not today: "21 Nov 12:05". For lists in which seconds are noise. */
export const shortTime = (at: number, zone: string, now: number): string =>
  dayOf(at, zone) === dayOf(now, zone)
    ? formatClock(at, zone, false)
    : `${formatDay(at, zone, now).replace(/^\w+ /, "")} ${formatClock(at, zone, false)}`;

/** "Sat 21 Nov, 12:05:09.123". */
export const fullEventTime = (at: number, zone: string, now: number): string =>
  `${formatDay(at, zone, now)}, ${timeLabel(at, zone)}.${String(((at % 1000) + 1000) % 1000).padStart(3, "0")}`;

/** "11:22:36–11:23:10". */
export const gapSpan = (from: number, to: number, zone: string): string =>
  `${timeLabel(from, zone)}–${timeLabel(to, zone)}`;

const FIELDS: Record<string, string> = {
  event_name: "event",
  user_id: "user",
  session_id: "session",
  device_type: "device",
};

export const fieldWords = (field: string): string =>
  FIELDS[field] ?? dimensionWords(field.replace(/^properties\./, ""));

export const conditionValue = ({ field, value }: Condition): string =>
  field === "country_code" && /^[A-Z]{2}$/.test(value) ? countryName(value) : value;

/** "event is page_view", "plan is not free", "plan is set". */
export function conditionSentence(condition: Condition): string {
  const { field, operator } = condition;
  const sentence = `${fieldWords(field)} ${words.operators[operator]}`;
  return takesValue(operator) ? `${sentence} ${conditionValue(condition)}` : sentence;
}

/** As a part of a sentence: "event: page_view", "plan is not free". */
export const conditionWords = (condition: Condition): string =>
  condition.operator === "is"
    ? `${fieldWords(condition.field)}: ${conditionValue(condition)}`
    : conditionSentence(condition);

/** A mean of so many seconds: the server sends in batches. */
const RATE_MEAN_SECONDS = 5;

/** "20/s", "3.4/s", and for less than one a second "12/min". `perSecond`: events of each second of the last minute. */
export function rateWords(perSecond: number[]): { text: string; hint: string } {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const rate = mean(perSecond.slice(-RATE_MEAN_SECONDS));
  return rate < 1
    ? { text: words.perMinute(formatCount(Math.round(60 * mean(perSecond)))), hint: words.perMinuteHint }
    : { text: words.perSecond(formatFixed(rate, rate < 10 ? 1 : 0)), hint: words.perSecondHint };
}

/** How long the way from the sender to the server took, by their clocks. */
export const delayWords = (at: number, receivedAt: number): string =>
  receivedAt >= at
    ? words.event.received(formatDuration(receivedAt - at))
    : words.event.receivedEarlier(formatDuration(at - receivedAt));
