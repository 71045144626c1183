// What is queried, a panel or a question of Explore, and what the page has selected.

import { shortKey, stableText } from "../lib/stableText.ts";
import { type Range, rangeKey } from "./range.ts";

/** The period that figures and series are compared with. */
export const COMPARISONS = ["previous", "week"] as const;
export type Compare = (typeof COMPARISONS)[number];

/** Only events with this value of the dimension count; with any of them, if there are several of a dimension. */
export interface Filter {
  /** For example "country_code". */
  dimension: string;
  value: string;
}

export interface Selection {
  range: Range;
  /** IANA name. */
  zone: string;
  /** None if absent. */
  compare?: Compare;
  /** None if absent. */
  filters?: Filter[];
}

export interface PanelQuery extends Selection {
  panel: string;
  /** Values of the panel's parameters that are not the default, by name. */
  parameters?: Record<string, string>;
}

export const EXPLORE_KINDS = ["trend", "funnel", "retention", "paths"] as const;
export type ExploreKind = (typeof EXPLORE_KINDS)[number];

/** A question of Explore. The request is a message of the contract, which only api/ looks into. It is never changed. */
export interface Exploration {
  kind: ExploreKind;
  request: object;
}

/** The range, the zone, the filters and the comparison of the page are applied to the request. */
export interface ExploreQuery extends Selection {
  explore: Exploration;
}

export type Query = PanelQuery | ExploreQuery;

export const isExplore = (query: Query): query is ExploreQuery => "explore" in query;

const requestKeys = new WeakMap<object, string>();

function requestKey(request: object): string {
  let key = requestKeys.get(request);
  if (key === undefined) {
    key = shortKey(stableText(request));
    requestKeys.set(request, key);
  }
  return key;
}

/** What is queried, without the selection: the name of a panel, or the kind and a short key of a question. */
export const sourceKey = (query: Query): string =>
  isExplore(query) ? `${query.explore.kind}:${requestKey(query.explore.request)}` : query.panel;

const encode = (text: string) => encodeURIComponent(text);

/** Equal queries have equal keys. */
export function queryKey(query: Query): string {
  const { range, zone, compare, filters = [] } = query;
  const parts = [`range=${rangeKey(range)}`, `zone=${zone}`];
  if (compare) parts.push(`compare=${compare}`);
  parts.push(...filters.map(({ dimension, value }) => `filter=${dimension}:${encode(value)}`).sort());
  const parameters = isExplore(query) ? {} : (query.parameters ?? {});
  parts.push(
    ...Object.entries(parameters)
      .map(([name, value]) => `set=${name}:${encode(value)}`)
      .sort(),
  );
  return `${sourceKey(query)}?${parts.join("&")}`;
}

/** Whether the result of one can stand in for that of the other until it arrives: it is drawn in the same way. */
export const sameSource = (a: Query, b: Query): boolean =>
  isExplore(a) ? isExplore(b) && a.explore.kind === b.explore.kind : !isExplore(b) && a.panel === b.panel;

export const sameFilter = (a: Filter, b: Filter): boolean => a.dimension === b.dimension && a.value === b.value;

/** What of a selection applies to a panel. */
export function panelQuery(
  { name, filterable, comparable }: { name: string; filterable: boolean; comparable: boolean },
  { range, zone, compare, filters }: Selection,
): PanelQuery {
  const query: PanelQuery = { panel: name, range, zone };
  if (compare && comparable) query.compare = compare;
  if (filters?.length && filterable) query.filters = filters;
  return query;
}

/** What of a selection applies to a question: only trends are compared. */
export function exploreQuery(explore: Exploration, { range, zone, compare, filters }: Selection): ExploreQuery {
  const query: ExploreQuery = { explore, range, zone };
  if (compare && explore.kind === "trend") query.compare = compare;
  if (filters?.length) query.filters = filters;
  return query;
}
