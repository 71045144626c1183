// What the tabs and the worker tell each other. All messages are plain data.

import type { Frame } from "../frame/frame.ts";
import type { PanelQuery } from "../query/query.ts";

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

/**
 * `loading`: no result yet. `live`: the frame is current. `stale`: the server or the connection cannot bring it up to date.
 * `failed`: the query is rejected, and fails again unless it is changed.
 */
export type QueryStatus = "loading" | "live" | "stale" | "failed";

export interface QueryState {
  status: QueryStatus;
  /** When this status began: Unix milliseconds by the server's clock. */
  since: number;
  /** Why the query is stale or failed. */
  reason?: string;
  /** The last result of this very query. */
  frame?: Frame;
}

/**
 * `connecting`: no answer yet. `live`: the stream brings heartbeats. `polling`: the stream does not get through, calls do.
 * `stale`: nothing has been heard for too long. `offline`: the server cannot be reached. `denied`: the server rejects the
 * page permanently.
 */
export type ConnectionPhase = "connecting" | "live" | "polling" | "stale" | "offline" | "denied";

export interface ConnectionState {
  phase: ConnectionPhase;
  /** When this phase began, by the server's clock. */
  since: number;
  reason?: string;
  /** Last time anything was heard from the server, by the server's clock. Undefined before the first message. */
  lastHeardAt?: number;
  /** Server clock minus browser clock, in milliseconds. */
  clockOffsetMs: number;
  /** When the next attempt to reconnect starts, by the browser's clock. */
  retryAt?: number;
}

/** From a tab to the worker. */
export type TabMessage =
  /** Replaces the tab's queries. An empty list releases the stream. */
  | { type: "watch"; queries: PanelQuery[] }
  /** Sent every 5 seconds while the tab is visible: the worker forgets a tab that is silent for 15 seconds. */
  | { type: "ping"; visible: boolean }
  | { type: "retry" }
  | { type: "bye" }
  | { type: "call"; id: number; call: Call };

/** One-shot calls. */
export type Call =
  | { method: "listPanels" }
  | { method: "queryPanel"; query: PanelQuery }
  | { method: "sendEvent"; eventName: string; sessionId: string; properties: Record<string, string> };

export interface CallResults {
  listPanels: Catalog;
  queryPanel: Frame;
  /** Accepted events. */
  sendEvent: { accepted: number };
}

/** From the worker to a tab. */
export type WorkerMessage =
  | { type: "query"; key: string; state: QueryState }
  | { type: "connection"; state: ConnectionState; catalogVersion?: string; hasEvents?: boolean }
  | { type: "result"; id: number; result: CallResults[keyof CallResults] }
  | { type: "error"; id: number; reason: string; permanent: boolean };
