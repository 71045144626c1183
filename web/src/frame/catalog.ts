// The catalogue: which panels the server has, and how each is drawn. Plain data, so that it can be posted.

export type ChartKind = "number" | "line" | "area" | "stacked" | "bar" | "horizontal-bar" | "table";

/** An entry of the catalogue. */
export interface PanelInfo {
  name: string;
  title: string;
  description: string;
  unit: string;
  chart: ChartKind;
  order: number;
  size: "small" | "medium" | "large";
  /** How many series or bars are drawn. */
  top: number;
  /** Names of the events that the panel reads. Empty if unknown. */
  events: string[];
  sql: string;
  refreshSeconds: number;
  builtIn: boolean;
}

export interface BrokenPanelInfo {
  file: string;
  /** 0 if unknown. */
  line: number;
  message: string;
}

export interface Catalog {
  panels: PanelInfo[];
  broken: BrokenPanelInfo[];
  version: string;
  hasEvents: boolean;
}

/** Whether the content is the same: it is plain data without absent fields. */
export const sameCatalog = (a: Catalog, b: Catalog): boolean => JSON.stringify(a) === JSON.stringify(b);
