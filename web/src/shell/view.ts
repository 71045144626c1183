// What the page shows, as search parameters, so that a shared link shows the same view.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { createContext, use, useCallback, useMemo } from "react";
import { isRange, isTimeZone, localTimeZone, type Range } from "../lib/time.ts";

export interface View {
  range: Range;
  /** IANA name. A link carries the sender's time zone, so that both see the same buckets. */
  zone: string;
  /** The enlarged panel. */
  panel?: string;
  wall?: boolean;
}

/** Parameters of others, for example of a proxy's login, are kept as they are. */
export type Search = Record<string, string | string[] | undefined>;

const OWN = ["range", "zone", "panel", "wall"];

export function parseSearch(text: string): Search {
  const search: Search = {};
  const parameters = new URLSearchParams(text);
  for (const name of new Set(parameters.keys())) {
    const values = parameters.getAll(name);
    search[name] = values.length > 1 ? values : values[0];
  }
  return search;
}

export function formatSearch(search: Search): string {
  const parameters = new URLSearchParams();
  const names = [...OWN, ...Object.keys(search).filter((name) => !OWN.includes(name))];
  for (const name of names) for (const value of [search[name] ?? []].flat()) parameters.append(name, value);
  // A slash and a colon need no escaping in a query string, and Europe/Madrid stays readable.
  const text = parameters.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return text ? `?${text}` : "";
}

const first = (value: string | string[] | undefined): string | undefined => [value].flat()[0];
const isUtc = (zone: string | undefined): boolean => zone?.toLowerCase() === "utc";

/** Missing or unusable values get their defaults. */
export function readView(search: Search, home: string = localTimeZone()): View {
  const range = first(search.range) ?? null;
  const zone = isUtc(first(search.zone)) ? "UTC" : (first(search.zone) ?? null);
  return {
    range: isRange(range) ? range : "1h",
    zone: zone !== "local" && isTimeZone(zone) ? zone : home,
    panel: first(search.panel) || undefined,
    wall: first(search.wall) === "1",
  };
}

/** The search parameters of a view, in addition to those of others. */
export function writeView({ range, zone, panel, wall }: View, search: Search = {}): Search {
  return { ...search, range, zone: zone === "UTC" ? "utc" : zone, panel, wall: wall ? "1" : undefined };
}

/** Validates the parameters of the dashboard's route: the address always holds the range and the zone. */
export const validateSearch = (search: Search): Search => writeView(readView(search), search);

/** What a link asks for, and what cannot be shown. */
export interface Rejected {
  range?: string;
  zone?: string;
}

export function rejectedValues(search: Search): Rejected {
  const range = first(search.range);
  const zone = first(search.zone);
  return {
    range: range && !isRange(range) ? range : undefined,
    zone: zone && zone !== "local" && !isUtc(zone) && !isTimeZone(zone) ? zone : undefined,
  };
}

/** The rejected values of the address with which the page was opened: the router replaces them by the defaults. */
export const RejectedContext = createContext<Rejected>({});
export const useRejected = (): Rejected => use(RejectedContext);

/** The view in the address. Each change adds a history entry, so that the Back button undoes it. */
export function useView(): [View, (change: Partial<View>) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const view = useMemo(() => readView(search), [search]);
  const change = useCallback(
    (next: Partial<View>) => {
      const update = (current: Search) => writeView({ ...readView(current), ...next }, current);
      void navigate({ to: ".", search: update as never, hash: true, resetScroll: false });
    },
    [navigate],
  );
  return [view, change];
}
