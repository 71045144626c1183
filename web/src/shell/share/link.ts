// Links to what is on the screen.

import type { Interval } from "../../query/range.ts";
import { formatSearch, readView, type Search, writeView } from "../view.ts";

/** Bounds of what is shown. */
export type Span = Required<Interval>;

/** The parameters of the same view. With a span, its time is fixed to that; without, the link moves with the present. */
export function sharedSearch(search: Search, home: string, frozen?: Span): Search {
  const view = readView(search, home);
  return writeView(frozen ? { ...view, range: frozen, own: undefined } : view, search);
}

/** The address as it can be opened elsewhere. */
export function sharedLink(href: string, search: Search, home: string, frozen?: Span): string {
  const url = new URL(href);
  return `${url.origin}${url.pathname}${formatSearch(sharedSearch(search, home, frozen))}${url.hash}`;
}
