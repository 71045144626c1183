// What of people is in the address, besides the view of the page: a figure, or what is searched.

import type { Search } from "../../shell/view.ts";

/** By an id, or by a trait with its value. */
export interface Wanted {
  /** The beginning of an id. */
  id: string;
  trait: string;
  value: string;
}

const first = (value: Search[string]): string => [value].flat()[0] ?? "";

/** `figure`: as `encodeFigure`. Empty without one. */
export const readPeople = (search: Search): Wanted & { figure: string } => ({
  figure: first(search.figure),
  id: first(search.search),
  trait: first(search.trait),
  value: first(search.value),
});

export const writeWanted = ({ id, trait, value }: Wanted): Search => ({
  search: id || undefined,
  trait: trait || undefined,
  value: value || undefined,
});
