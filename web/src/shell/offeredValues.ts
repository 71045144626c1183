// Which values of a dimension are offered: those on the screen.

import type { Catalog } from "../frame/catalog.ts";
import { REST_VALUE } from "../frame/columns.ts";
import type { Frame } from "../frame/frame.ts";
import { type PanelQuery, panelQuery, type Selection } from "../query/query.ts";

const MAX_OFFERED = 200;

export function offeredValues(
  dimension: string,
  { panels }: Catalog,
  selection: Selection,
  frameOf: (query: PanelQuery) => Frame | undefined,
): string[] {
  const values = new Set(dimension === "event_name" ? panels.flatMap(({ events }) => events) : []);
  for (const panel of panels) {
    for (const column of frameOf(panelQuery(panel, selection))?.columns ?? []) {
      if (column.name !== dimension || column.role !== "dimension") continue;
      for (const value of column.values) {
        if (typeof value === "string" && value !== "" && value !== REST_VALUE) values.add(value);
      }
    }
  }
  return [...values].sort().slice(0, MAX_OFFERED);
}
