// What the items of a dashboard are: of panels by the catalogue, of insights by their query.

import { INSIGHT_CHARTS as CHARTS } from "../../../api/insightChart.ts";
import type { Insight } from "../../../api/messages.ts";
import type { Catalog } from "../../../frame/catalog.ts";
import type { ChartKind, PanelInfo } from "../../../live/protocol.ts";
import { exploreQuery, type PanelQuery, panelQuery, type Query, type Selection } from "../../../query/query.ts";
import { inOrder } from "../grid.ts";
import { boardStrings as words } from "../strings.ts";
import type { Parameters } from "./address.ts";
import type { ItemKind } from "./arrange.ts";
import type { Board, BoardItem, Content, QueryKind } from "./board.ts";

export interface Known {
  catalog: Catalog;
  insights: ReadonlyMap<string, Insight> | undefined;
}

/** What an item shows: a panel, or a question of Explore. Undefined if it does not exist, or is not known yet. */
export interface Shown {
  kind: "panel" | QueryKind;
  /** How it is drawn. That of a question is made from it. */
  info: PanelInfo;
  query: (selection: Selection, parameters?: Parameters) => Query;
  /** `InsightChart` of the contract, of a question. */
  chart: number;
  /** The name of the insight, if it is one. */
  insight?: string;
}

export function shownBy(item: Pick<BoardItem, "id" | "title" | "content" | "chart">, known: Known): Shown | undefined {
  const { content, chart } = item;
  const { catalog, insights } = known;
  if (content.case === "panel") {
    const info = catalog.panels.find(({ name }) => name === content.value);
    if (!info) return undefined;
    return {
      kind: "panel",
      info: item.title ? { ...info, title: item.title } : info,
      query: (selection, parameters = {}) => withParameters(info, panelQuery(info, selection), parameters[info.name]),
      chart: 0,
    };
  }
  const insight = content.case === "insight" ? insights?.get(content.value) : undefined;
  const question: Question | undefined = content.case === "insight" ? insight?.query : content;
  if (question?.case === undefined) return undefined;
  const explore = { kind: question.case, request: question.value };
  const own = chart === 0 ? (insight?.chart ?? 0) : chart;
  return {
    kind: question.case,
    info: questionInfo(nameOf(item), titleOf(item, known), insight?.description ?? "", question.case, own),
    query: (selection) => exploreQuery(explore, selection),
    chart: own,
    ...(insight && { insight: insight.name }),
  };
}

/** Only of parameters that the panel has: the server would reject others. */
function withParameters(
  { parameters = [] }: PanelInfo,
  query: PanelQuery,
  values: Record<string, string> = {},
): PanelQuery {
  const known = parameters.filter(({ name, defaultValue }) => (values[name] ?? defaultValue) !== defaultValue);
  if (known.length === 0) return query;
  return { ...query, parameters: Object.fromEntries(known.map(({ name }) => [name, values[name] as string])) };
}

type Question = { case: QueryKind; value: object } | { case: undefined };

/** A question as if it were a panel, so that it has the same card. */
function questionInfo(name: string, title: string, description: string, kind: QueryKind, chart: number): PanelInfo {
  return {
    name,
    title,
    description,
    unit: "",
    chart: chartKind(kind, chart),
    order: 0,
    size: "medium",
    top: 10,
    events: [],
    sql: "",
    refreshSeconds: 0,
    builtIn: false,
    filterable: true,
    comparable: kind === "trend",
  };
}

function chartKind(kind: QueryKind, chart: number): ChartKind {
  switch (chart) {
    case CHARTS.LINE:
      return "line";
    case CHARTS.AREA:
      return "area";
    case CHARTS.STACKED:
      return "stacked";
    case CHARTS.BAR:
      return "bar";
    case CHARTS.HORIZONTAL_BAR:
      return "horizontal-bar";
    case CHARTS.NUMBER:
      return "number";
    case CHARTS.TABLE:
      return kind === "retention" ? "grid" : "table";
    case CHARTS.TIME_TO_CONVERT:
      return "time-to-convert";
    default:
      return DEFAULT_CHARTS[kind];
  }
}

const DEFAULT_CHARTS = { trend: "line", funnel: "steps", retention: "grid", paths: "flow" } as const;

export function kindOf(item: Pick<BoardItem, "id" | "title" | "content" | "chart">, known: Known): ItemKind {
  const shown = shownBy(item, known);
  if (!shown) return "other";
  const { chart, size } = shown.info;
  if (chart === "number" || (shown.kind === "panel" && size === "small")) return "number";
  switch (shown.kind) {
    case "funnel":
      return "funnel";
    case "retention":
    case "paths":
      return "wide";
    default:
      if (chart === "horizontal-bar") return "list";
      if (chart === "table") return size === "large" ? "wide" : "list";
      return "time";
  }
}

/** The heading of an item. */
export function titleOf(item: Pick<BoardItem, "title" | "content">, known: Known): string {
  if (item.title) return item.title;
  const { content } = item;
  if (content.case === "panel")
    return known.catalog.panels.find(({ name }) => name === content.value)?.title ?? content.value;
  if (content.case === "insight") return known.insights?.get(content.value)?.title ?? content.value;
  return words.kinds[content.case];
}

/** Names an item in the address and in exports: the name of its panel or insight, or where it is in the file. */
export const nameOf = ({ id, content }: { id: string; content: Content }): string =>
  typeof content.value === "string" ? content.value : `item-${id}`;

/** The built-in dashboard as the server makes it, from the catalogue alone: all panels in their order. */
export function assumedBoard(name: string, { panels }: Catalog): Board {
  return {
    name,
    title: "",
    description: "",
    project: "",
    builtIn: true,
    etag: "",
    automatic: true,
    items: inOrder(panels).map((panel, index) => ({
      id: String(index),
      title: "",
      content: { case: "panel", value: panel.name },
      chart: 0,
      place: { x: 0, y: 0, width: 6, height: 4 },
    })),
  };
}
