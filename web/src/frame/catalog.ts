// The catalogue: which panels the server has, and how each is drawn. Plain data, so that it can be posted.

export type ChartKind =
  | "number"
  | "line"
  | "area"
  | "stacked"
  | "bar"
  | "horizontal-bar"
  | "table"
  /** Of a funnel. */
  | "steps"
  | "time-to-convert"
  /** Of a retention. */
  | "grid"
  /** Of paths. */
  | "flow";

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
  /** What can be set besides the selection of the page. Absent if nothing. */
  parameters?: PanelParameter[];
  /** Whether filters apply to it. */
  filterable: boolean;
  /** Whether an earlier period can be requested with it: it has a time axis or figures. */
  comparable: boolean;
}

/** For example the number of rows of a ranking. */
export interface PanelParameter {
  name: string;
  /** Of ClickHouse: "UInt16". */
  type: string;
  defaultValue: string;
  description: string;
}

/** What panels can be filtered by. */
export interface Dimension {
  /** For example "country_code". */
  name: string;
  /** The events that have it. Empty: all. */
  events: string[];
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
  dimensions: Dimension[];
  /** 0: indefinitely. */
  eventsRetentionDays: number;
  /** The longest range without filters. 0: indefinitely. */
  rollupRetentionDays: number;
}

/** Whether the content is the same: it is plain data without absent fields. */
export const sameCatalog = (a: Catalog, b: Catalog): boolean => JSON.stringify(a) === JSON.stringify(b);
