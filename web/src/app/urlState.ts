// What the page shows, as its address says it: a link shows what its sender saw.

import { isRange, isTimeZone, localTimeZone, type Range } from "../lib/time.ts";

export interface UrlState {
  range: Range;
  /** An IANA name. A link has the sender's, so that both see the same buckets. */
  zone: string;
  /** The panel that is enlarged. */
  panel?: string;
  wall: boolean;
}

/** What is missing or cannot be understood has its default. */
export function parseUrlState(search: string, home: string = localTimeZone()): UrlState {
  const query = new URLSearchParams(search);
  const range = query.get("range");
  const zone = query.get("zone");
  const named = zone?.toLowerCase() === "utc" ? "UTC" : zone;
  return {
    range: isRange(range) ? range : "1h",
    zone: named !== "local" && isTimeZone(named) ? named : home,
    panel: query.get("panel") || undefined,
    wall: query.get("wall") === "1",
  };
}

export function formatUrlState({ range, zone, panel, wall }: UrlState): string {
  const query = new URLSearchParams({ range, zone: zone === "UTC" ? "utc" : zone });
  if (panel) query.set("panel", panel);
  if (wall) query.set("wall", "1");
  // A slash needs no escape in a query, and a link with Europe/Madrid can be read.
  return `?${query.toString().replaceAll("%2F", "/")}`;
}
