// What the page shows, as search parameters, so that a shared link shows the same view.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { createContext, use, useCallback, useMemo } from "react";
import { isTimeZone, localTimeZone } from "../lib/time.ts";
import { COMPARISONS, type Compare, type Filter, type Selection, sameFilter } from "../query/query.ts";
import { formatTime, type Interval, isPreset, isValidInterval, parseTime, type Range } from "../query/range.ts";

/** A link carries the sender's time zone, so that both see the same buckets. */
export interface View extends Selection {
  /** Nobody has chosen the range: a dashboard with a range of its own shows that. */
  own?: boolean;
  /** The enlarged panel. */
  panel?: string;
  wall?: boolean;
  /** Names of the dashboards that kiosk mode shows one after the other. */
  rotate?: string[];
  /** Seconds for which each of them is shown. */
  every?: number;
}

/** Parameters of others, for example of a proxy's login, are kept as they are. */
export type Search = Record<string, string | string[] | undefined>;

const OWN = ["range", "from", "to", "zone", "compare", "filter", "panel", "wall", "rotate", "every", "own"];

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
  const text = parameters.toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",");
  return text ? `?${text}` : "";
}

const first = (value: string | string[] | undefined): string | undefined => [value].flat()[0];
const isUtc = (zone: string | undefined): boolean => zone?.toLowerCase() === "utc";

function readZone(search: Search, home: string): string {
  const zone = first(search.zone);
  if (isUtc(zone)) return "UTC";
  return zone !== "local" && isTimeZone(zone ?? null) ? (zone as string) : home;
}

/** Times on the clock of the zone. Undefined if the address has no usable interval. */
function readInterval(search: Search, zone: string): Interval | undefined {
  const from = parseTime(first(search.from), zone);
  const end = first(search.to);
  const to = parseTime(end, zone);
  if (from === undefined || (end && to === undefined)) return undefined;
  const interval = to === undefined ? { from } : { from, to };
  return isValidInterval(interval, Date.now()) ? interval : undefined;
}

/** Where nothing else is chosen. */
export const DEFAULT_RANGE: Range = "1h";

const isCompare = (text: string | undefined): text is Compare => COMPARISONS.includes(text as Compare);

/** The server's limits. */
const MAX_FILTERED_DIMENSIONS = 10;
const MAX_FILTER_VALUES = 100;

/** "country_code:ES". The value may have colons itself. */
function parseFilter(text: string): Filter | undefined {
  const [, dimension, value] = /^(\w+):(.+)$/s.exec(text) ?? [];
  return dimension && value ? { dimension, value } : undefined;
}

/** The usable filters, without duplicates, and the texts of the others. */
function readFilters(search: Search): { filters: Filter[]; rejected: string[] } {
  const filters: Filter[] = [];
  const rejected: string[] = [];
  for (const text of [search.filter ?? []].flat()) {
    const filter = parseFilter(text);
    if (filter && filters.some((other) => sameFilter(other, filter))) continue;
    if (filter && canAdd(filters, filter)) filters.push(filter);
    else rejected.push(text);
  }
  return { filters, rejected };
}

function canAdd(filters: Filter[], { dimension }: Filter): boolean {
  const dimensions = new Set(filters.map((filter) => filter.dimension));
  const values = filters.filter((filter) => filter.dimension === dimension);
  return values.length < MAX_FILTER_VALUES && (dimensions.has(dimension) || dimensions.size < MAX_FILTERED_DIMENSIONS);
}

/** The filters with one more, unless that is there already or one too many. */
export const withFilter = (filters: Filter[] = [], added: Filter): Filter[] =>
  !canAdd(filters, added) || filters.some((filter) => sameFilter(filter, added)) ? filters : [...filters, added];

const DASHBOARD_NAME = /^[a-z0-9_-]{1,64}$/;
/** A screen that changes more often cannot be read; one that changes less often is not a rotation. */
export const ROTATION_SECONDS = { min: 5, max: 3_600, usual: 30 } as const;

/** "web,product". */
function readRotation(search: Search): Pick<View, "rotate" | "every"> {
  const names = (first(search.rotate) ?? "").split(",").filter((name) => DASHBOARD_NAME.test(name));
  const seconds = Number(first(search.every));
  const { min, max } = ROTATION_SECONDS;
  return {
    rotate: names.length > 0 ? [...new Set(names)] : undefined,
    every: Number.isInteger(seconds) && seconds > 0 ? Math.min(max, Math.max(min, seconds)) : undefined,
  };
}

/** Missing or unusable values get their defaults. */
export function readView(search: Search, home: string = localTimeZone()): View {
  const zone = readZone(search, home);
  const range = first(search.range);
  const compare = first(search.compare);
  const { filters } = readFilters(search);
  return {
    range: readInterval(search, zone) ?? (isPreset(range) ? range : DEFAULT_RANGE),
    own: first(search.own) === "1" || !(range || first(search.from) || first(search.to)) || undefined,
    zone,
    compare: isCompare(compare) ? compare : undefined,
    filters: filters.length > 0 ? filters : undefined,
    panel: first(search.panel) || undefined,
    wall: first(search.wall) === "1",
    ...readRotation(search),
  };
}

/** The search parameters of a view, in addition to those of others. */
export function writeView(
  { range, zone, compare, filters, panel, wall, rotate, every, own }: View,
  search: Search = {},
): Search {
  const interval = typeof range === "string" ? undefined : range;
  const time = (at: number | undefined) => (at === undefined ? undefined : formatTime(at, zone));
  return {
    ...search,
    range: typeof range === "string" ? range : undefined,
    from: time(interval?.from),
    to: time(interval?.to),
    zone: zone === "UTC" ? "utc" : zone,
    compare,
    filter: filters?.map(({ dimension, value }) => `${dimension}:${value}`),
    panel,
    wall: wall ? "1" : undefined,
    rotate: rotate?.join(","),
    every: every?.toString(),
    own: own ? "1" : undefined,
  };
}

const VIEW = ["range", "from", "to", "zone", "compare", "filter"];

/** What a link to another page keeps of the address: what is looked at, and not where on this page. */
export const viewSearch = (search: Search): Search =>
  Object.fromEntries(VIEW.filter((name) => search[name] !== undefined).map((name) => [name, search[name]]));

/** The same to a dashboard, which may have a range of its own: the present one is for those that have none. */
export const boardSearch = (search: Search): Search => ({ ...viewSearch(search), own: "1" });

/** Validates the parameters of every route: the address always holds the range and the zone. */
export const validateSearch = (search: Search): Search => writeView(readView(search), search);

/** Only dashboards have ranges of their own. */
export const withoutOwn = (search: Search): Search => ({ ...search, own: undefined });

/** What a link asks for, and what cannot be shown. */
export interface Rejected {
  range?: string;
  /** "2026-11-21 to 2026-11-20". */
  interval?: string;
  zone?: string;
  compare?: string;
  filters?: string[];
}

export function rejectedValues(search: Search, home: string = localTimeZone()): Rejected {
  const [range, zone, compare, from, to] = [search.range, search.zone, search.compare, search.from, search.to].map(
    first,
  );
  const hasInterval = Boolean(from || to);
  const usable = readInterval(search, readZone(search, home)) !== undefined;
  const { rejected } = readFilters(search);
  return {
    range: range && !isPreset(range) ? range : undefined,
    interval: hasInterval && !usable ? `${from ?? "?"} to ${to || "now"}` : undefined,
    zone: zone && zone !== "local" && !isUtc(zone) && !isTimeZone(zone) ? zone : undefined,
    compare: compare && compare !== "none" && !isCompare(compare) ? compare : undefined,
    filters: rejected.length > 0 ? rejected : undefined,
  };
}

/** The rejected values of the address with which the page was opened: the router replaces them by the defaults. */
export const RejectedContext = createContext<Rejected>({});
export const useRejected = (): Rejected => use(RejectedContext);

export type ChangeView = (change: Partial<View>, how?: { replace?: boolean }) => void;

/** The view in the address. Each change adds a history entry, so that the Back button undoes it, unless it replaces the present one. */
export function useView(): [View, ChangeView] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const view = useMemo(() => readView(search), [search]);
  const change = useCallback(
    (next: Partial<View>, { replace = false }: { replace?: boolean } = {}) => {
      const chosen = next.range && { own: undefined };
      const update = (current: Search) => writeView({ ...readView(current), ...chosen, ...next }, current);
      void navigate({ to: ".", search: update as never, hash: true, resetScroll: false, replace });
    },
    [navigate],
  );
  return [view, change];
}

/**
 * The parameters of the address, for those of a page's own: read what you know, write only that. A value of undefined removes
 * the parameter. Each change adds a history entry, unless it replaces the present one.
 */
export function useParameters(): [Search, (change: Search, how?: { replace?: boolean }) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const change = useCallback(
    (next: Search, { replace = false }: { replace?: boolean } = {}) => {
      const update = (current: Search) => ({ ...current, ...next });
      void navigate({ to: ".", search: update as never, hash: true, resetScroll: false, replace });
    },
    [navigate],
  );
  return [search, change];
}
