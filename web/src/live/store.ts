// The tab's copy of what the worker knows, for React. One message changes one key, so it renders one card again.

import { sameCatalog } from "../frame/catalog.ts";
import { type Query, queryKey } from "../query/query.ts";
import { type OpenPort, openWorker } from "./openWorker.ts";
import type {
  Call,
  CallFailure,
  CallResults,
  CatalogState,
  ConnectionState,
  QueryState,
  WorkerMessage,
} from "./protocol.ts";
import { WorkerLink } from "./workerLink.ts";

export interface ConnectionInfo extends ConnectionState {
  /** Whether any event has been stored. Undefined before the server has said so. */
  hasEvents?: boolean;
}

/** A one-shot call has failed. The message is for people. */
export class CallError extends Error {
  override readonly name = "CallError";

  /** Fails again unless the call is changed. */
  readonly permanent: boolean;
  /** The server does not have what is asked for. */
  readonly missing: boolean;
  /** The server's own delay before a retry. */
  readonly retryAfterMs: number;

  constructor({ reason, permanent, missing = false, retryAfterMs = 0 }: CallFailure) {
    super(reason);
    this.permanent = permanent;
    this.missing = missing;
    this.retryAfterMs = retryAfterMs;
  }
}

type Listener = () => void;

/** Panels are updated one after the other. Newer results that arrive within this time are rendered and painted together. */
export const FLUSH_INTERVAL_MS = 200;

interface PendingCall {
  resolve: (result: never) => void;
  reject: (error: CallError) => void;
}

/** Created and started once, before React renders. */
export class LiveStore {
  private readonly link: WorkerLink;
  private readonly queries = new Map<string, { query: Query; listeners: Set<Listener> }>();
  private readonly states = new Map<string, QueryState>();
  private readonly connectionListeners = new Set<Listener>();
  private readonly catalogListeners = new Set<Listener>();
  private readonly calls = new Map<number, PendingCall>();
  private connectionInfo: ConnectionInfo = { phase: "connecting", since: Date.now(), clockOffsetMs: 0 };
  private catalogState: CatalogState = {};
  private lastCall = 0;
  private watchScheduled = false;
  /** What has arrived since the last flush. */
  private readonly arrived = new Map<string, QueryState>();
  private arrivedConnection: ConnectionInfo | undefined;
  private arrivedCatalog: CatalogState | undefined;
  private animationFrame: number | undefined;
  private flushTimer: ReturnType<typeof setTimeout> | undefined;
  private flushedAt = Number.NEGATIVE_INFINITY;

  constructor(openPort: OpenPort = openWorker) {
    this.link = new WorkerLink(openPort, {
      onMessage: (message) => this.receive(message),
      onForgotten: () => this.sendWatch(),
      onReplaced: () => this.rejectCalls(),
    });
  }

  start(): void {
    this.link.start();
  }

  stop(): void {
    this.link.stop();
    this.rejectCalls();
    if (this.animationFrame !== undefined) cancelAnimationFrame(this.animationFrame);
    clearTimeout(this.flushTimer);
  }

  /** Watches the query until the returned function is called. */
  subscribe(query: Query, listener: Listener): () => void {
    const key = queryKey(query);
    let entry = this.queries.get(key);
    if (!entry) {
      entry = { query, listeners: new Set() };
      this.queries.set(key, entry);
      this.scheduleWatch();
    }
    const { listeners } = entry;
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.scheduleWatch();
    };
  }

  /** The same object until the state changes. */
  state(query: Query): QueryState {
    const key = queryKey(query);
    let state = this.states.get(key);
    if (!state) {
      state = { status: "loading", since: this.serverNow() };
      this.states.set(key, state);
    }
    return state;
  }

  subscribeConnection(listener: Listener): () => void {
    this.connectionListeners.add(listener);
    return () => this.connectionListeners.delete(listener);
  }

  /** The same object until something changes. */
  connection(): ConnectionInfo {
    return this.connectionInfo;
  }

  subscribeCatalog(listener: Listener): () => void {
    this.catalogListeners.add(listener);
    return () => this.catalogListeners.delete(listener);
  }

  /** The same object until something changes. */
  catalog(): CatalogState {
    return this.catalogState;
  }

  /** The server's clock, in Unix milliseconds. */
  serverNow(): number {
    return Date.now() + this.connectionInfo.clockOffsetMs;
  }

  /** Ends the wait for the next attempt to connect, and tries failed queries again. */
  retry(): void {
    this.link.post({ type: "retry" });
  }

  /** Rejects with a CallError, at the latest at the deadline of the call, or when the worker is replaced. */
  call<C extends Call>(call: C): Promise<CallResults[C["method"]]> {
    this.lastCall += 1;
    const id = this.lastCall;
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.link.post({ type: "call", id, call });
    });
  }

  /** Cards mount and unmount in one commit: the worker is told once. */
  private scheduleWatch(): void {
    if (this.watchScheduled) return;
    this.watchScheduled = true;
    queueMicrotask(() => {
      this.watchScheduled = false;
      for (const [key, { listeners }] of this.queries) if (listeners.size === 0) this.queries.delete(key);
      for (const key of this.states.keys()) if (!this.queries.has(key)) this.states.delete(key);
      this.sendWatch();
    });
  }

  private sendWatch(): void {
    this.link.post({ type: "watch", queries: [...this.queries.values()].map(({ query }) => query) });
  }

  private receive(message: WorkerMessage): void {
    switch (message.type) {
      case "query": {
        this.arrived.set(message.key, message.state);
        const held = this.states.get(message.key);
        const isNewer = held?.frame !== undefined && held.status === message.state.status;
        // First results and changes of the status are shown at once.
        if (isNewer) this.scheduleLaterFlush();
        else this.scheduleFlush();
        break;
      }
      case "connection":
        this.arrivedConnection = {
          ...message.state,
          hasEvents: message.hasEvents ?? this.connectionInfo.hasEvents,
        };
        this.scheduleFlush();
        break;
      case "catalog":
        this.arrivedCatalog = message.state;
        this.scheduleFlush();
        break;
      case "result":
        this.takeCall(message.id)?.resolve(message.result as never);
        break;
      case "error":
        this.takeCall(message.id)?.reject(new CallError(message));
        break;
    }
  }

  private takeCall(id: number): PendingCall | undefined {
    const call = this.calls.get(id);
    this.calls.delete(id);
    return call;
  }

  private rejectCalls(): void {
    for (const { reject } of this.calls.values())
      reject(new CallError({ reason: "the call was interrupted", permanent: false }));
    this.calls.clear();
  }

  /** Flushes in a frame of the browser: a hidden page has none, so nothing renders. */
  private scheduleFlush(): void {
    clearTimeout(this.flushTimer);
    this.flushTimer = undefined;
    this.animationFrame ??= requestAnimationFrame(() => this.flush());
  }

  /** The same, but a while after the last flush. */
  private scheduleLaterFlush(): void {
    if (this.animationFrame !== undefined || this.flushTimer !== undefined) return;
    const wait = this.flushedAt + FLUSH_INTERVAL_MS - performance.now();
    this.flushTimer = setTimeout(() => this.scheduleFlush(), Math.max(0, wait));
  }

  private flush(): void {
    this.animationFrame = undefined;
    this.flushedAt = performance.now();
    if (this.arrivedConnection) {
      this.connectionInfo = this.arrivedConnection;
      this.arrivedConnection = undefined;
      for (const listener of this.connectionListeners) listener();
    }
    if (this.arrivedCatalog) {
      this.takeCatalog(this.arrivedCatalog);
      this.arrivedCatalog = undefined;
    }
    for (const [key, state] of this.arrived) {
      const entry = this.queries.get(key);
      if (!entry) continue;
      this.states.set(key, merge(this.states.get(key), state));
      for (const listener of entry.listeners) listener();
    }
    this.arrived.clear();
  }

  /** A catalogue with the same content renders nothing. A worker that has been replaced has none at first. */
  private takeCatalog({ catalog, failure }: CatalogState): void {
    const held = this.catalogState;
    const same = !catalog || (held.catalog && sameCatalog(held.catalog, catalog));
    if (same && held.failure === failure) return;
    this.catalogState = { catalog: same ? held.catalog : catalog, failure };
    for (const listener of this.catalogListeners) listener();
  }
}

/** A worker that has been replaced, or has forgotten the tab, knows less than the tab: the last frame is kept. */
function merge(held: QueryState | undefined, state: QueryState): QueryState {
  if (!held?.frame || state.frame) return state;
  if (state.status !== "loading") return { ...state, frame: held.frame };
  return { status: "stale", since: held.since, reason: "waiting for the server", frame: held.frame };
}
