// The calls of the page, with its own types. Errors go through `toFailure`.

import type { Catalog } from "../frame/catalog.ts";
import type { Frame } from "../frame/frame.ts";
import { LIST_PANELS, QUERY_PANEL, WATCH_PANELS } from "../gen/millrace/v1/dashboard_codec.ts";
import {
  type PanelQuery as PanelQueryMessage,
  ResultFormat,
  type WatchPanelsResponse,
} from "../gen/millrace/v1/dashboard_pb.ts";
import { SEND_EVENTS } from "../gen/millrace/v1/ingest_codec.ts";
import { type ExploreQuery, isExplore, type PanelQuery, type Query, queryKey } from "../query/query.ts";
import { type BoardList, type BoardResult, getBoard, listBoards } from "./boards.ts";
import type { Init } from "./codec.ts";
import { decodeCatalog, decodeFrame } from "./decode.ts";
import { type Failure, queryFailure, toFailure } from "./errors.ts";
import type { GrpcWebClient } from "./grpcWeb.ts";
import { COMPARE, toFilters, toRange } from "./selection.ts";
import { Code, ConnectionLost, StatusError } from "./status.ts";
import { timestampMs, toTimestamp } from "./time.ts";

/** Deadline of a panel, which responds in milliseconds unless something is wrong. */
export const CALL_TIMEOUT_MS = 5_000;

/** Questions read events: the server ends them within a budget of its own. */
export const EXPLORE_TIMEOUT_MS = 60_000;

/** Dashboards are read from files, behind whatever the server is busy with. */
const BOARD_TIMEOUT_MS = 60_000;

/** The server's limit per WatchPanels call. */
export const MAX_WATCHED_QUERIES = 100;

/** A message of a stream. `key` is the key of the query. */
export type WatchEvent =
  | {
      type: "heartbeat";
      serverTime: number;
      catalogVersion: string;
      hasEvents: boolean;
      /** Of the insights and dashboards. */
      insightsVersion?: string;
    }
  /** Without a frame, the first one has not been computed yet. */
  | { type: "update"; key: string; frame?: Frame; staleReason?: string; staleSince?: number }
  /** The stream sends nothing more for this query. */
  | { type: "error"; key: string; failure: Failure };

export interface EventToSend {
  eventName: string;
  sessionId: string;
  properties: Record<string, string>;
}

export interface DashboardApi {
  /** Subscribes to at most MAX_WATCHED_QUERIES queries. */
  watch(queries: Query[], signal: AbortSignal): AsyncIterable<WatchEvent>;
  listPanels(signal: AbortSignal): Promise<Catalog>;
  /** Once. */
  query(query: Query, signal: AbortSignal): Promise<Frame>;
  sendEvent(event: EventToSend, at: number, signal: AbortSignal): Promise<{ accepted: number }>;
  /** A dashboard of the project with the insights. */
  board(name: string, signal: AbortSignal): Promise<BoardResult>;
  boards(signal: AbortSignal): Promise<BoardList>;
}

const panelRequest = ({ panel, range, zone, compare, filters, parameters = {} }: PanelQuery) => ({
  panel,
  ...toRange(range),
  timeZone: zone,
  compare: compare && COMPARE[compare],
  filters: toFilters(filters),
  parameters,
});

/** A question has its range and its filters in its own request. */
const watchRequest = (query: Query, explore: ExploreApi | undefined): Init<PanelQueryMessage> => ({
  id: queryKey(query),
  ...(isExplore(query) ? { explore: explore?.exploreRequest(query) } : panelRequest(query)),
});

/** A frame that violates the contract fails its query, not the stream. */
function toEvent(
  message: WatchPanelsResponse,
  queries: ReadonlyMap<string, Query>,
  explore: ExploreApi | undefined,
): WatchEvent {
  try {
    return decodeEvent(message, queries, explore);
  } catch (error) {
    return { type: "error", key: message.id, failure: toFailure(error) };
  }
}

function decodeEvent(
  message: WatchPanelsResponse,
  queries: ReadonlyMap<string, Query>,
  explore: ExploreApi | undefined,
): WatchEvent {
  const { id: key, heartbeat, error, staleReason, staleSince } = message;
  if (heartbeat) {
    const { serverTime, panelsVersion, hasEvents, insightsVersion } = heartbeat;
    if (!serverTime) throw new Error("a heartbeat has no time");
    return {
      type: "heartbeat",
      serverTime: timestampMs(serverTime),
      catalogVersion: panelsVersion,
      hasEvents,
      ...(insightsVersion && { insightsVersion }),
    };
  }
  if (error) return { type: "error", key, failure: queryFailure(error.code, error.message) };
  return {
    type: "update",
    key,
    frame: decodeValue(message, queries.get(key), explore),
    staleReason,
    staleSince: staleSince && timestampMs(staleSince),
  };
}

function decodeValue(
  { value, minInterval }: WatchPanelsResponse,
  query: Query | undefined,
  explore: ExploreApi | undefined,
): Frame | undefined {
  switch (value.case) {
    case "frame":
      return decodeFrame(value.value);
    case "trend":
    case "funnel":
    case "retention":
    case "paths":
      if (!explore || !query || !isExplore(query))
        throw new Error("the server sent the result of a question for a panel");
      return explore.decodeExplore(query, value, minInterval);
    default:
      return undefined;
  }
}

type ExploreApi = typeof import("./exploreApi.ts");

/** Fails if the server cannot be reached: the next attempt loads it again. */
export const loadExploreApi = (): Promise<ExploreApi> => import("./exploreApi.ts").catch(explorePartLost);

function explorePartLost(error: Error): never {
  throw new ConnectionLost(error.message);
}

export function createDashboardApi(client: GrpcWebClient, loadExplore = loadExploreApi): DashboardApi {
  async function* watch(queries: Query[], signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const explore = queries.some(isExplore) ? await loadExplore() : undefined;
    const byKey = new Map(queries.map((query) => [queryKey(query), query]));
    const request = {
      queries: queries.map((query) => watchRequest(query, explore)),
      resultFormat: ResultFormat.FRAME,
    };
    for await (const message of client.stream(WATCH_PANELS, request, { signal })) {
      yield toEvent(message, byKey, explore);
    }
  }

  async function queryPanel(query: PanelQuery, signal: AbortSignal): Promise<Frame> {
    const request = { ...panelRequest(query), resultFormat: ResultFormat.FRAME };
    const { frame } = await client.unary(QUERY_PANEL, request, { signal, timeoutMs: CALL_TIMEOUT_MS });
    if (!frame) throw new Error(`panel ${query.panel} sent no frame`);
    return decodeFrame(frame);
  }

  async function explore(query: ExploreQuery, signal: AbortSignal): Promise<Frame> {
    const { callExplore, decodeExplore } = await loadExplore();
    return decodeExplore(query, await callExplore(client, query, { signal, timeoutMs: EXPLORE_TIMEOUT_MS }));
  }

  return {
    watch,
    listPanels: async (signal) =>
      decodeCatalog(await client.unary(LIST_PANELS, {}, { signal, timeoutMs: CALL_TIMEOUT_MS })),
    query: (query, signal) => (isExplore(query) ? explore(query, signal) : queryPanel(query, signal)),
    board: (name, signal) => getBoard(client, name, { signal, timeoutMs: BOARD_TIMEOUT_MS }),
    boards: (signal) => listBoards(client, { signal, timeoutMs: BOARD_TIMEOUT_MS }),
    sendEvent: async ({ eventName, sessionId, properties }, at, signal) => {
      const response = await client.unary(
        SEND_EVENTS,
        {
          events: [
            {
              eventName,
              sessionId,
              timestamp: toTimestamp(at),
              propertiesKind: { case: "propertiesJson", value: JSON.stringify(properties) },
            },
          ],
        },
        { signal, timeoutMs: CALL_TIMEOUT_MS },
      );
      const [rejection] = response.rejections;
      if (rejection) throw new StatusError(`${rejection.field}: ${rejection.reason}`, Code.InvalidArgument);
      return { accepted: Number(response.accepted) };
    },
  };
}
