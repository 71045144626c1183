// The query of a panel: its name and what the page has selected.

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
}

const encode = (text: string) => encodeURIComponent(text);

/** Equal queries have equal keys. */
export function queryKey({ panel, range, zone, compare, filters = [] }: PanelQuery): string {
  const parts = [`range=${rangeKey(range)}`, `zone=${zone}`];
  if (compare) parts.push(`compare=${compare}`);
  parts.push(...filters.map(({ dimension, value }) => `filter=${dimension}:${encode(value)}`).sort());
  return `${panel}?${parts.join("&")}`;
}

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
