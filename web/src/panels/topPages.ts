import type { GetTopPagesResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatCount } from "../lib/format.ts";
import { column, type PlainTable } from "../lib/table.ts";
import { RANGE_LABELS } from "../lib/time.ts";
import type { Display, ShapedPanel } from "./panel.ts";

export function shapeTopPages(value: GetTopPagesResponse, { range }: Display): ShapedPanel<PlainTable> {
  const table: PlainTable = {
    columns: [
      column("page_url", "Page", "text"),
      column("views", "Views", "count"),
      column("visitors", "Visitors", "count"),
      column("avg_duration_ms", "Average duration", "duration"),
    ],
    rows: value.pages.map((page) => [page.pageUrl, Number(page.views), Number(page.visitors), page.avgDurationMs]),
  };
  const first = value.pages[0];
  const leader = first ? `${first.pageUrl} leads with ${formatCount(Number(first.views))} views` : "no page views";
  return {
    data: table,
    summary: `Pages by views in the ${RANGE_LABELS[range]}: ${leader}.`,
    headline: first ? [leader] : [],
    table,
    empty: value.pages.length === 0,
    approximate: value.context?.approximate ?? false,
  };
}
