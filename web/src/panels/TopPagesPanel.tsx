import type { PlainTable } from "../lib/table.ts";
import { type BodyProps, definePanel } from "./panel.ts";
import { TableView } from "./TableView.tsx";
import { shapeTopPages } from "./topPages.ts";

function Body({ data, display }: BodyProps<PlainTable>) {
  return <TableView table={data} zone={display.zone} caption="Top pages" barColumn={1} />;
}

export const topPagesPanel = definePanel(
  "topPages",
  "page_view events with the property page_url appear here.",
  shapeTopPages,
  Body,
);
