// A statement of one's own in the address: "sql=SELECT …&set=limit:50".

import type { Search } from "../../shell/view.ts";

export interface SqlView {
  sql: string;
  /** By name of the parameter, without defaults. */
  values: Record<string, string>;
}

/** Their parameters in the address. */
export const SQL_KEYS = ["sql", "set"] as const;

/** The value may have any characters. */
const VALUE = /^(\w{1,64}):(.+)$/s;

export function readSql(search: Search): SqlView {
  const values: Record<string, string> = {};
  for (const text of [search.set ?? []].flat()) {
    const [, name, value] = VALUE.exec(text) ?? [];
    if (name !== undefined && value !== undefined) values[name] = value;
  }
  return { sql: [search.sql].flat()[0] ?? "", values };
}

export function writeSql({ sql, values }: SqlView): Search {
  const set = Object.entries(values).map(([name, value]) => `${name}:${value}`);
  return { sql: sql || undefined, set: set.length > 1 ? set.sort() : set[0] };
}
