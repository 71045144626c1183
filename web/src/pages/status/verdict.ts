// The one line that says how the server is.

import { type Health, Status } from "../../api/messages.ts";
import { formatDecimal, formatFixed } from "../../lib/format.ts";
import { ageText } from "../../strings.ts";
import type { Forecast } from "./forecast.ts";
import { strings } from "./strings.ts";

export type Mood = "good" | "warn" | "danger" | "unknown";

export interface Verdict {
  mood: Mood;
  title: string;
  /** What is wrong and what to do, in the server's words. */
  detail: string;
  /** Whether the rejected events say more. */
  rejected?: true;
}

/** Rejections that the verdict tells: those of the last minutes. */
const RECENT_MS = 15 * 60_000;

export interface Rejections {
  /** Since the server started. */
  total: number;
  /** How long ago the last one was. */
  lastAgoMs: number;
  /** What sent those with the most frequent reason, and which field is wrong. */
  from?: string;
}

const words = strings.verdict;

/** "20 events/s", "3.4 events/s", and for less than one a second "12 events/min". */
export function rateWords(rate: number): { value: string; unit: string } {
  if (rate > 0 && rate < 1) return { value: formatFixed(Math.max(1, 60 * rate), 0), unit: words.perMinute };
  const value = rate >= 10 ? formatFixed(rate, 0) : formatDecimal(Math.round(rate * 10) / 10);
  return { value, unit: words.perSecond };
}

export function verdictOf(
  health: Health | undefined,
  failure: string | undefined,
  rate: number | undefined,
  rejections?: Rejections,
  disk?: Pick<Forecast, "mood" | "text">,
): Verdict {
  if (failure !== undefined) {
    const reason = failure.charAt(0).toUpperCase() + failure.slice(1);
    return { mood: "danger", title: words.lost, detail: health ? words.lostHint(reason) : `${reason}.` };
  }
  if (!health) return { mood: "unknown", title: words.connecting, detail: "" };
  if (health.status === Status.DOWN) return { mood: "danger", title: words.down, detail: health.summary };
  if (health.status === Status.DEGRADED) return { mood: "warn", title: words.degraded, detail: health.summary };
  if (disk?.mood === "danger" || disk?.mood === "warn") {
    return { mood: disk.mood, title: words.diskFills, detail: disk.text };
  }
  if (rejections && rejections.total > 0 && rejections.lastAgoMs < RECENT_MS) {
    const { total, lastAgoMs, from = "" } = rejections;
    const title = rate === undefined ? words.rejected(total) : words.rejecting(rate > 0, total);
    return { mood: "warn", title, detail: words.rejectedLast(ageText(lastAgoMs), from), rejected: true };
  }
  if (rate === undefined) return { mood: "good", title: words.measuring, detail: "" };
  const { value, unit } = rateWords(rate);
  return { mood: "good", title: rate === 0 ? words.idle : words.ok(`${value} ${unit}`), detail: "" };
}
