// The calls of the page, with its own types. Errors go through `toFailure`.

import type { Catalog } from "../frame/catalog.ts";
import type { Frame } from "../frame/frame.ts";
import { ResultFormat, type WatchPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { Compare as CompareMessage, TimeRange } from "../gen/millrace/v1/range_pb.ts";
import { type Compare, type Filter, type PanelQuery, queryKey } from "../query/query.ts";
import type { Preset } from "../query/range.ts";
import { decodeCatalog, decodeFrame, timestampMs } from "./decode.ts";
import { type Failure, queryFailure, toFailure } from "./errors.ts";
import type { GrpcWebClient } from "./grpcWeb.ts";
import {
  LIST_PANELS_REQUEST,
  LIST_PANELS_RESPONSE,
  QUERY_PANEL_REQUEST,
  QUERY_PANEL_RESPONSE,
  SEND_EVENTS_REQUEST,
  SEND_EVENTS_RESPONSE,
  WATCH_PANELS_REQUEST,
  WATCH_PANELS_RESPONSE,
} from "./schemas.ts";
import { Code, StatusError } from "./status.ts";

/** Deadline of unary calls. A panel responds in milliseconds unless something is wrong. */
export const CALL_TIMEOUT_MS = 5_000;

/** The server's limit per WatchPanels call. */
export const MAX_WATCHED_QUERIES = 100;

/** A message of a stream. `key` is the key of the query. */
export type WatchEvent =
  | { type: "heartbeat"; serverTime: number; catalogVersion: string; hasEvents: boolean }
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
  watch(queries: PanelQuery[], signal: AbortSignal): AsyncIterable<WatchEvent>;
  listPanels(signal: AbortSignal): Promise<Catalog>;
  queryPanel(query: PanelQuery, signal: AbortSignal): Promise<Frame>;
  sendEvent(event: EventToSend, at: number, signal: AbortSignal): Promise<{ accepted: number }>;
}

export const METHODS = {
  listPanels: {
    path: "millrace.v1.DashboardService/ListPanels",
    request: LIST_PANELS_REQUEST,
    response: LIST_PANELS_RESPONSE,
  },
  queryPanel: {
    path: "millrace.v1.DashboardService/QueryPanel",
    request: QUERY_PANEL_REQUEST,
    response: QUERY_PANEL_RESPONSE,
  },
  watchPanels: {
    path: "millrace.v1.DashboardService/WatchPanels",
    request: WATCH_PANELS_REQUEST,
    response: WATCH_PANELS_RESPONSE,
  },
  sendEvents: {
    path: "millrace.v1.IngestService/SendEvents",
    request: SEND_EVENTS_REQUEST,
    response: SEND_EVENTS_RESPONSE,
  },
};

const PRESETS: Record<Preset, TimeRange> = {
  "1h": TimeRange.TIME_RANGE_1H,
  "6h": TimeRange.TIME_RANGE_6H,
  "24h": TimeRange.TIME_RANGE_24H,
  "7d": TimeRange.TIME_RANGE_7D,
  "30d": TimeRange.TIME_RANGE_30D,
  "90d": TimeRange.TIME_RANGE_90D,
  today: TimeRange.TIME_RANGE_TODAY,
  yesterday: TimeRange.TIME_RANGE_YESTERDAY,
  "this-week": TimeRange.TIME_RANGE_THIS_WEEK,
  "this-month": TimeRange.TIME_RANGE_THIS_MONTH,
};

const COMPARE: Record<Compare, CompareMessage> = {
  previous: CompareMessage.PREVIOUS_PERIOD,
  week: CompareMessage.WEEK_AGO,
};

const toTimestamp = (at: number) => ({
  seconds: BigInt(Math.floor(at / 1000)),
  nanos: Math.floor(at % 1000) * 1_000_000,
});

/** The values of a dimension are alternatives. */
function toFilters(filters: Filter[] = []): { dimension: string; values: string[] }[] {
  const byDimension = new Map<string, string[]>();
  for (const { dimension, value } of filters) {
    byDimension.set(dimension, [...(byDimension.get(dimension) ?? []), value]);
  }
  return [...byDimension].map(([dimension, values]) => ({ dimension, values }));
}

const toRequest = ({ panel, range, zone, compare, filters }: PanelQuery) => ({
  panel,
  ...(typeof range === "string"
    ? { timeRange: PRESETS[range] }
    : {
        interval: {
          start: toTimestamp(range.from),
          end: range.to === undefined ? undefined : toTimestamp(range.to),
        },
      }),
  timeZone: zone,
  compare: compare && COMPARE[compare],
  filters: toFilters(filters),
});

/** A frame that violates the contract fails its query, not the stream. */
function toEvent(message: WatchPanelsResponse): WatchEvent {
  try {
    return decodeEvent(message);
  } catch (error) {
    return { type: "error", key: message.id, failure: toFailure(error) };
  }
}

function decodeEvent(message: WatchPanelsResponse): WatchEvent {
  const { id: key, heartbeat, error, value, staleReason, staleSince } = message;
  if (heartbeat) {
    const { serverTime, panelsVersion, hasEvents } = heartbeat;
    if (!serverTime) throw new Error("a heartbeat has no time");
    return { type: "heartbeat", serverTime: timestampMs(serverTime), catalogVersion: panelsVersion, hasEvents };
  }
  if (error) return { type: "error", key, failure: queryFailure(error.code, error.message) };
  return {
    type: "update",
    key,
    frame: value.case === "frame" ? decodeFrame(value.value) : undefined,
    staleReason,
    staleSince: staleSince && timestampMs(staleSince),
  };
}

export function createDashboardApi(client: GrpcWebClient): DashboardApi {
  async function* watch(queries: PanelQuery[], signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const request = {
      queries: queries.map((query) => ({ id: queryKey(query), ...toRequest(query) })),
      resultFormat: ResultFormat.FRAME,
    };
    for await (const message of client.stream(METHODS.watchPanels, request, { signal })) {
      yield toEvent(message);
    }
  }

  return {
    watch,
    listPanels: async (signal) =>
      decodeCatalog(await client.unary(METHODS.listPanels, {}, { signal, timeoutMs: CALL_TIMEOUT_MS })),
    queryPanel: async (query, signal) => {
      const { frame } = await client.unary(
        METHODS.queryPanel,
        { ...toRequest(query), resultFormat: ResultFormat.FRAME },
        { signal, timeoutMs: CALL_TIMEOUT_MS },
      );
      if (!frame) throw new Error(`panel ${query.panel} sent no frame`);
      return decodeFrame(frame);
    },
    sendEvent: async ({ eventName, sessionId, properties }, at, signal) => {
      const response = await client.unary(
        METHODS.sendEvents,
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
