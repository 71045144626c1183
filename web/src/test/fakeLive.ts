// A source of live data without a server: the same hooks as the real one, driven by `fake`. For tests and for looking at
// the page in development.

import { useSyncExternalStore } from "react";
import { getBoard, listBoards } from "../api/boards.ts";
import { call } from "../api/client.ts";
import type { GrpcWebClient } from "../api/grpcWeb.ts";
import type { Frame } from "../frame/frame.ts";
import { callFailure } from "../live/calls.ts";
import type {
  Call,
  CallResults,
  Catalog,
  CatalogState,
  ConnectionState,
  PanelInfo,
  QueryState,
} from "../live/protocol.ts";
import { CallError } from "../live/store.ts";
import { type Query, queryKey, sourceKey } from "../query/query.ts";

/** A frame with the query that it belongs to. */
interface LastFrame {
  frame: Frame;
  query: Query;
  placeholder: boolean;
}

interface Connection {
  state: ConnectionState;
  hasEvents?: boolean;
}

const { signal } = new AbortController();
const client: Pick<GrpcWebClient, "unary"> = { unary: (method, request) => call(method as never, request as never) };

const LOADING: QueryState = { status: "loading", since: 0 };

export const panelInfo = (name: string, change: Partial<PanelInfo> = {}): PanelInfo => ({
  name,
  title: name[0]?.toUpperCase() + name.slice(1).replaceAll("_", " "),
  description: "",
  unit: "",
  chart: "line",
  order: 0,
  size: "medium",
  top: 10,
  events: [],
  sql: `SELECT '${name}'`,
  refreshSeconds: 1,
  builtIn: false,
  filterable: true,
  comparable: true,
  ...change,
});

/** A frame with one figure and one row. */
export function numberFrame(value: number, label = "events", computedAt = Date.now()): Frame {
  return {
    columns: [{ name: "value", label, type: "int", role: "measure", unit: "", additive: true, values: [value] }],
    rows: 1,
    figures: [{ label, unit: "", value, isTime: false }],
    threshold: null,
    context: {
      start: computedAt - 3_600_000,
      end: computedAt,
      zone: "Europe/Madrid",
      computedAt,
      approximate: false,
      partialFrom: null,
      bucketSeconds: null,
      span: "",
    },
  };
}

export class FakeLive {
  connection: Connection = { state: { phase: "connecting", since: Date.now(), clockOffsetMs: 0 } };
  catalog: CatalogState = {};
  /** Responds to one-shot calls. Throw to fail. */
  respond: (call: Call) => unknown = (call) => {
    if (call.method === "sendEvent") return { accepted: 1 };
    // The responses of the client of the contract.
    if (call.method === "board") return getBoard(client, call.name, { signal });
    if (call.method === "boards") return listBoards(client, { signal });
    throw new Error(`unexpected call ${call.method}`);
  };
  calls: Call[] = [];
  retries = 0;
  /** Queries that a card has requested. */
  watched = new Map<string, Query>();
  private readonly states = new Map<string, QueryState>();
  private readonly last = new Map<string, LastFrame>();
  private readonly listeners = new Set<() => void>();

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private notify() {
    for (const listener of this.listeners) listener();
  }

  setConnection(change: Partial<ConnectionState>, rest: Omit<Partial<Connection>, "state"> = {}) {
    this.connection = { ...this.connection, ...rest, state: { ...this.connection.state, ...change } };
    this.notify();
  }

  goLive(catalog: Partial<Catalog>) {
    const before: Catalog = this.catalog.catalog ?? {
      panels: [],
      broken: [],
      version: "1",
      hasEvents: true,
      dimensions: [
        { name: "country_code", events: [] },
        { name: "page_url", events: ["page_view"] },
      ],
      eventsRetentionDays: 90,
      rollupRetentionDays: 400,
    };
    const next = { ...before, ...catalog };
    this.catalog = { catalog: next };
    const now = Date.now();
    this.setConnection({ phase: "live", since: now, lastHeardAt: now }, { hasEvents: next.hasEvents });
  }

  failCatalog(failure: string) {
    this.catalog = { ...this.catalog, failure };
    this.notify();
  }

  push(query: Query, frame: Frame, change: Partial<QueryState> = {}) {
    this.states.set(queryKey(query), { status: "live", since: Date.now(), frame, ...change });
    this.last.set(sourceKey(query), { frame, query, placeholder: false });
    this.notify();
  }

  state = (query: Query): QueryState => {
    this.watched.set(queryKey(query), query);
    return this.states.get(queryKey(query)) ?? LOADING;
  };

  private readonly drawn = new Map<string, LastFrame>();
  /** The frame of the query, else the last one of the same panel, as a placeholder. */
  lastFrame = (query: Query): LastFrame | null => {
    const frame = this.states.get(queryKey(query))?.frame;
    const last = this.last.get(sourceKey(query));
    if (!frame && !last) return null;
    const next = frame ? { frame, query, placeholder: false } : { ...(last as LastFrame), placeholder: true };
    const cached = this.drawn.get(queryKey(query));
    if (cached?.frame === next.frame && cached.placeholder === next.placeholder) return cached;
    this.drawn.set(queryKey(query), next);
    return next;
  };

  readonly live = {
    call: async <C extends Call>(call: C): Promise<CallResults[C["method"]]> => {
      this.calls.push(call);
      try {
        return (await this.respond(call)) as CallResults[C["method"]];
      } catch (error) {
        throw new CallError(callFailure(error));
      }
    },
    frame: (query: Query) => this.states.get(queryKey(query))?.frame,
    retry: () => {
      this.retries += 1;
    },
  };
}

/** The source that the hooks read. A test replaces it. */
export let fake = new FakeLive();
export const replaceFake = () => {
  fake = new FakeLive();
  return fake;
};

const useFake = <T>(read: (source: FakeLive) => T): T => useSyncExternalStore(fake.subscribe, () => read(fake));

export const useConnection = () => useFake((source) => source.connection);
export const useCatalog = () => useFake((source) => source.catalog);
export const useQueryState = (query: Query) => useFake((source) => source.state(query));
export const useLastFrame = (query: Query) => useFake((source) => source.lastFrame(query));
export const useLive = () => fake.live;
