// The text of a panel's image.

import { figuresOf } from "../charts/bigFigure.ts";
import { tableColumns } from "../charts/tableColumns.ts";
import type { Frame } from "../frame/frame.ts";
import { asOfWords, comparedSpanWords, figureWords, filterWords, spanWords, zoneWords } from "../frame/words.ts";
import { formatCount } from "../lib/format.ts";
import type { PanelInfo } from "../live/protocol.ts";
import type { Selection } from "../query/query.ts";
import { isPast } from "../query/range.ts";

const MAX_ROWS = 25;

export interface ImageTable {
  header: string[];
  numeric: boolean[];
  widths: number[];
  rows: string[][];
  /** States which rows are left out. Empty if none is. */
  note: string;
}

export interface ImageContent {
  title: string;
  figures: string[];
  /** Span, zone, comparison, filters and time of the figures. */
  caption: string;
}

export function imageContent(
  info: Pick<PanelInfo, "title" | "chart">,
  frame: Frame,
  query: Selection,
  stale: boolean,
): ImageContent {
  const { context, comparison } = frame;
  const past = context.span === "" && isPast(query.range, context.computedAt);
  const caption = [
    spanWords(context),
    zoneWords(context),
    comparison ? `compared with ${comparedSpanWords(frame)}` : "",
    ...(query.filters ?? []).map(filterWords),
    past ? "" : `as of ${asOfWords(context, context.computedAt)}`,
    context.approximate ? "approximate" : "",
    stale && !past ? "not current" : "",
  ];
  return {
    title: info.title,
    figures: (info.chart === "number" ? figuresOf(frame) : frame.figures).map((figure) => figureWords(figure, frame)),
    caption: caption.filter(Boolean).join(" · "),
  };
}

export function imageTable(frame: Frame): ImageTable {
  const columns = tableColumns(frame);
  const shown = Math.min(frame.rows, MAX_ROWS);
  const left = frame.rows - shown;
  return {
    header: columns.map(({ label }) => label),
    numeric: columns.map(({ numeric }) => numeric),
    widths: columns.map(({ width }) => width),
    rows: Array.from({ length: shown }, (_, row) => columns.map(({ format, values }) => format(values[row]))),
    note: left > 0 ? `${formatCount(left)} more rows are left out. The CSV file has all.` : "",
  };
}
