// What the tabs and the worker tell each other. All messages are plain data.

import type { BoardList, BoardResult } from "../api/boards.ts";
import type { Catalog } from "../frame/catalog.ts";
import type { Frame } from "../frame/frame.ts";
import type { Query } from "../query/query.ts";

export type { BoardList, BoardResult } from "../api/boards.ts";
export type { BrokenPanelInfo, Catalog, ChartKind, PanelInfo } from "../frame/catalog.ts";

/**
 * `loading`: no result yet. `live`: the frame is current. `stale`: the server or the connection cannot bring it up to date.
 * `failed`: the query is rejected, and fails again unless it is changed.
 */
export type QueryStatus = "loading" | "live" | "stale" | "failed";

export interface QueryState {
  status: QueryStatus;
  /**
   * When this status began: Unix milliseconds by the server's clock. If the connection is lost, that is when the server was
   * last heard.
   */
  since: number;
  /** Why the query is stale or failed. */
  reason?: string;
  /** The last result of this very query. */
  frame?: Frame;
}

/**
 * `connecting`: no response yet. `live`: the stream brings heartbeats. `polling`: the stream does not get through, calls do.
 * `stale`: nothing has been heard for too long. `offline`: the server cannot be reached. `denied`: the server rejects the
 * page permanently.
 */
export type ConnectionPhase = "connecting" | "live" | "polling" | "stale" | "offline" | "denied";

export interface ConnectionState {
  phase: ConnectionPhase;
  /** When this phase began, by the server's clock. In `stale`, `offline` and `denied`: when the server was last heard. */
  since: number;
  reason?: string;
  /** Last time anything was heard from the server, by the server's clock. Undefined before the first message. */
  lastHeardAt?: number;
  /** Server clock minus browser clock, in milliseconds. */
  clockOffsetMs: number;
  /** Changes with any file of an insight or a dashboard. Undefined before the first heartbeat. */
  insightsVersion?: string;
  /** When the next attempt to reconnect starts, by the browser's clock. */
  retryAt?: number;
}

/** The list of panels, and why its newest version could not be loaded. Empty until the first call has ended. */
export interface CatalogState {
  catalog?: Catalog;
  failure?: string;
}

/** From a tab to the worker. */
export type TabMessage =
  /** The first message. `base` is the document's base URL: the server's paths are relative to it. */
  | { type: "hello"; base: string }
  /** Replaces the tab's queries. An empty list releases the stream. */
  | { type: "watch"; queries: Query[] }
  /**
   * Sent every 5 seconds while the tab is visible, and when its visibility changes. The worker forgets a visible tab that is
   * silent for 15 seconds.
   */
  | { type: "ping"; visible: boolean }
  /** Ends the wait for the next attempt to connect, and tries failed queries and the catalogue again. */
  | { type: "retry" }
  /** The browser has a network again. */
  | { type: "online" }
  | { type: "bye" }
  | { type: "call"; id: number; call: Call };

/** One-shot calls. */
export type Call =
  | { method: "query"; query: Query }
  | { method: "sendEvent"; eventName: string; sessionId: string; properties: Record<string, string> }
  /** A dashboard with the insights that it may show. */
  | { method: "board"; name: string }
  /** All dashboards of the project. */
  | { method: "boards" };

export interface CallResults {
  query: Frame;
  /** Accepted events. */
  sendEvent: { accepted: number };
  board: BoardResult;
  boards: BoardList;
}

/** Why a call has failed. */
export interface CallFailure {
  /** For people. */
  reason: string;
  /** Fails again unless the call is changed. */
  permanent: boolean;
  /** The server does not have what is asked for. */
  missing?: boolean;
  /** The server's own delay before a retry, if it has named one. */
  retryAfterMs?: number;
}

/** From the worker to a tab. */
export type WorkerMessage =
  /**
   * The response to a ping. `known` is false if the worker has forgotten the tab, which then sends its queries again; that is
   * also sent if the tab's next message is another one.
   */
  | { type: "pong"; known: boolean }
  | { type: "query"; key: string; state: QueryState }
  | { type: "catalog"; state: CatalogState }
  | { type: "connection"; state: ConnectionState; hasEvents?: boolean }
  | { type: "result"; id: number; result: CallResults[keyof CallResults] }
  | ({ type: "error"; id: number } & CallFailure);
