// What of live events is in the address, besides the view of the page.

import type { Search } from "../../shell/view.ts";
import { type Condition, formatCondition, readConditions } from "./conditions.ts";

/** How many events per second are shown at most. */
export const RATES = [20, 100, 1_000] as const;
export const DEFAULT_RATE = 20;

export interface LiveView {
  show: "accepted" | "rejected";
  conditions: Condition[];
  rate: number;
  /** The chosen reason of rejected events, as `reasonKey`. */
  reason?: string;
}

const first = (value: Search[string]): string | undefined => [value].flat()[0];

/** `rejected`: conditions that cannot be read. */
export function readLive(search: Search): LiveView & { rejected: string[] } {
  const { conditions, rejected } = readConditions([search.where ?? []].flat());
  const rate = RATES.find((each) => String(each) === first(search.rate)) ?? DEFAULT_RATE;
  const show = first(search.show) === "rejected" ? "rejected" : "accepted";
  return { show, conditions, rate, reason: first(search.reason) || undefined, rejected };
}

/** The search parameters of what changes. */
export function writeLive(change: Partial<LiveView>): Search {
  const written: Search = {};
  if ("show" in change) written.show = change.show === "rejected" ? "rejected" : undefined;
  if (change.conditions) {
    const where = change.conditions.map(formatCondition);
    written.where = where.length > 1 ? where : where[0];
  }
  if ("rate" in change) written.rate = change.rate === DEFAULT_RATE ? undefined : change.rate?.toString();
  if ("reason" in change) written.reason = change.reason || undefined;
  return written;
}
