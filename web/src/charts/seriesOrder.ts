// The order of the series of a chart. Totals change with every update: a legend whose names change places cannot be read.

import { OTHER_KEY, type Series } from "../frame/timeSeries.ts";

/** By the query, so that a chart that is shown again, as on a wall that rotates, has the order that it had. */
const orders = new Map<string, readonly string[]>();
const MAX_ORDERS = 200;
/** Values come and go for days on a wall. */
const MAX_KEYS = 500;

/** In the order of the keys, then new ones as they are, then the sum of the others. */
export function inOrder<S extends Pick<Series, "key">>(series: S[], keys: readonly string[]): S[] {
  const place = ({ key }: S) => {
    const at = keys.indexOf(key);
    return key.startsWith(OTHER_KEY) ? Number.POSITIVE_INFINITY : at < 0 ? keys.length : at;
  };
  // Of two infinite places the difference is no number.
  return series.toSorted((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
}

/** As the series of the query were ordered when they were first drawn. */
export const inKnownOrder = <S extends Pick<Series, "key">>(query: string, series: S[]): S[] =>
  inOrder(series, orders.get(query) ?? []);

export function rememberOrder(query: string, series: Pick<Series, "key">[]): void {
  const known = orders.get(query) ?? [];
  const keys = [...known, ...series.map(({ key }) => key).filter((key) => !known.includes(key))];
  orders.delete(query);
  orders.set(query, keys.slice(-MAX_KEYS));
  const [oldest] = orders.keys();
  if (orders.size > MAX_ORDERS && oldest !== undefined) orders.delete(oldest);
}
