// The view as URL query parameters, so that a shared link shows the same view.

import { isRange, isTimeZone, localTimeZone, type Range } from "../lib/time.ts";

export interface UrlState {
  range: Range;
  /** IANA name. A link carries the sender's time zone, so that both see the same buckets. */
  zone: string;
  /** The enlarged panel. */
  panel?: string;
  wall: boolean;
}

/** Missing or invalid values get their defaults. */
export function parseUrlState(search: string, home: string = localTimeZone()): UrlState {
  const query = new URLSearchParams(search);
  const range = query.get("range");
  const zone = query.get("zone");
  const name = zone?.toLowerCase() === "utc" ? "UTC" : zone;
  return {
    range: isRange(range) ? range : "1h",
    zone: name !== "local" && isTimeZone(name) ? name : home,
    panel: query.get("panel") || undefined,
    wall: query.get("wall") === "1",
  };
}

export function formatUrlState({ range, zone, panel, wall }: UrlState): string {
  const query = new URLSearchParams({ range, zone: zone === "UTC" ? "utc" : zone });
  if (panel) query.set("panel", panel);
  if (wall) query.set("wall", "1");
  // A slash needs no escaping in a query string, and Europe/Madrid stays readable.
  return `?${query.toString().replaceAll("%2F", "/")}`;
}
