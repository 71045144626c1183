// The worker's part of the page: it subscribes to the queries of all tabs with one stream, watches that the stream is alive,
// falls back to calls while it is not, and tells each tab what it needs. No DOM and no globals.
//
//   tabs -> queries -> stream group (pending -> current) -> query states -> tabs
//                      poller, while no stream serves a query
//   heartbeats -> catalogue -> tabs

import type { DashboardApi, WatchEvent } from "../api/dashboard.ts";
import { type Failure, toFailure } from "../api/errors.ts";
import type { Catalog } from "../frame/catalog.ts";
import { backoffDelayMs } from "../lib/backoff.ts";
import type { Query } from "../query/query.ts";
import { callFailure, runCall } from "./calls.ts";
import { CatalogLoader } from "./catalogLoader.ts";
import type { Clock } from "./clock.ts";
import { Connection, type FailureSource, isBroken, SILENCE_MS } from "./connection.ts";
import { POLL_INTERVAL_MS, Poller } from "./poller.ts";
import type { Call, QueryState, TabMessage, WorkerMessage } from "./protocol.ts";
import { QueryStates } from "./queryStates.ts";
import { StreamGroup } from "./streamGroup.ts";
import { type TabId, Tabs } from "./tabs.ts";

/** Tabs mount and unmount their cards one after the other: one stream is opened for all changes. */
export const DEBOUNCE_MS = 50;
/** A page that has not requested a panel by then has none. */
const IDLE_MS = 1_000;
/** A stream that brings nothing for this long is held back by a proxy, or the server does not respond. */
export const FIRST_MESSAGE_MS = 5_000;
/** A stream must have lived this long to count as a success: one that breaks early is retried ever more slowly. */
export const STABLE_STREAM_MS = 30_000;
/** After a break, all browsers start to poll within this time. */
export const MAX_FIRST_POLL_DELAY_MS = 2_000;
/** A permanent error is retried at this interval: the server may have been changed. */
export const DENIED_RETRY_MS = 60_000;
/** A stream that no longer serves one of its queries is replaced after this time, which doubles while that does not help. */
export const REOPEN_MS = 30_000;
export const MAX_REOPEN_MS = 600_000;
/** Several tabs, and impatient people, send several retries: they start one attempt. */
export const RETRY_INTERVAL_MS = 1_000;
/** When a network is back, all browsers in it retry within this time. */
export const MAX_ONLINE_DELAY_MS = 2_000;
const TICK_MS = 1_000;
/** A timer that is this late has been suspended. */
const SUSPENDED_MS = 5_000;
const SILENCE: Failure = {
  kind: "slow",
  reason: `nothing was heard from the server for ${Math.round(SILENCE_MS / 1000)} seconds`,
  responded: false,
  rejectsPage: false,
};

export interface HubOptions {
  api: DashboardApi;
  clock: Clock;
  /** At least 0, less than 1. */
  random: () => number;
  post: (tab: TabId, message: WorkerMessage) => void;
}

export class Hub {
  private readonly api: DashboardApi;
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly post: (tab: TabId, message: WorkerMessage) => void;
  private readonly tabs: Tabs;
  private readonly states: QueryStates;
  private readonly connection: Connection;
  private readonly poller: Poller;
  private readonly catalog: CatalogLoader;
  /** The stream group that serves the tabs. */
  private current: StreamGroup | undefined;
  /** The group that replaces `current` as soon as it is live. */
  private pending: StreamGroup | undefined;
  /** A second attempt beside `pending`, which may be on a connection that is dead without the browser's knowledge. */
  private extra: StreamGroup | undefined;
  /** One extra attempt after each stream that has worked: a proxy that buffers streams gets no more than the backoff allows. */
  private mayOpenExtra = false;
  /** How much earlier the extra attempt has started than the backoff allows: the next one waits longer by that. */
  private extraLeadMs = 0;
  /** The queries to keep up to date, by key. */
  private active = new Map<string, Query>();
  /** Failures since a stream was last stable. */
  private attempt = 0;
  /** Whether queries that no stream serves are polled. */
  private polling = false;
  private reopenAt: number | undefined;
  /** By key: how many streams in succession have ended the query with a transient error. */
  private readonly endings = new Map<string, number>();
  private retriedAt = Number.NEGATIVE_INFINITY;
  private idleTimer: unknown;
  private onlineTimer: unknown;
  private debounceTimer: unknown;
  private reconnectTimer: unknown;
  private tickTimer: unknown;
  private tickDueAt = 0;

  constructor({ api, clock, random, post }: HubOptions) {
    this.api = api;
    this.clock = clock;
    this.random = random;
    this.post = post;
    this.tabs = new Tabs(clock, post);
    this.states = new QueryStates((key, state) => this.tabs.broadcast({ type: "query", key, state }, key));
    this.connection = new Connection(clock, () => this.tabs.broadcast(this.connectionMessage()));
    this.poller = new Poller({
      clock,
      random,
      poll: (key, query, signal) => this.poll(key, query, signal),
      lastOf: (key) => {
        const frame = this.states.get(key)?.frame;
        return { frame, at: (frame?.context.computedAt ?? 0) - this.connection.state.clockOffsetMs };
      },
    });
    this.catalog = new CatalogLoader({
      api,
      clock,
      random,
      onChange: () => this.tabs.broadcast(this.catalogMessage()),
      onLoaded: (catalog, changed) => this.catalogLoaded(catalog, changed),
      onFailure: (failure) => this.catalogFailed(failure),
    });
  }

  /** Handles a message of a tab. An unknown tab is added. */
  receive(tab: TabId, message: TabMessage): void {
    if (message.type === "bye") {
      this.disconnect(tab);
      return;
    }
    const known = this.tabs.touch(tab);
    if (!known) {
      this.post(tab, this.connectionMessage());
      this.post(tab, this.catalogMessage());
      this.updateCatalogPolling();
      // The tab believes that its queries are known: it is told now, because its next ping comes from a known tab.
      if (!["hello", "watch", "ping"].includes(message.type)) this.post(tab, { type: "pong", known });
    }
    if (this.tickTimer === undefined) this.scheduleTick();
    switch (message.type) {
      case "watch":
        this.watch(tab, message.queries);
        break;
      case "ping":
        if (this.tabs.setVisible(tab, message.visible)) this.visibilityChanged(tab, message.visible);
        this.post(tab, { type: "pong", known });
        break;
      case "retry":
        this.retry();
        break;
      case "online":
        this.retryAfterOnline();
        break;
      case "call":
        void this.tabs.runCall(tab, (signal) => this.call(tab, message.id, message.call, signal));
        return;
      case "hello":
        return;
    }
  }

  /** The tab is gone. */
  disconnect(tab: TabId): void {
    this.tabs.remove(tab);
    this.tabsChanged();
    this.scheduleRefresh();
  }

  private watch(tab: TabId, queries: Query[]): void {
    const added = this.tabs.watch(tab, queries);
    this.tabsChanged();
    for (const key of added) this.postState(tab, key);
    this.scheduleRefresh();
  }

  private visibilityChanged(tab: TabId, visible: boolean): void {
    if (!visible) return;
    this.post(tab, this.connectionMessage());
    this.post(tab, this.catalogMessage());
    this.updateCatalogPolling();
    for (const key of this.tabs.queriesOf(tab)) this.postState(tab, key);
    this.scheduleRefresh();
  }

  private postState(tab: TabId, key: string): void {
    const state = this.states.get(key);
    if (state) this.post(tab, { type: "query", key, state });
  }

  private connectionMessage(): WorkerMessage {
    const { state, hasEvents } = this.connection;
    return { type: "connection", state, hasEvents };
  }

  private catalogMessage(): WorkerMessage {
    return { type: "catalog", state: this.catalog.state };
  }

  private tabsChanged(): void {
    const { phase, state } = this.connection;
    const initial: QueryState = isBroken(phase)
      ? { status: "stale", since: state.since, reason: state.reason }
      : { status: "loading", since: this.connection.now() };
    this.states.retain(this.tabs.queries(), initial);
  }

  // ---- streams

  private scheduleRefresh(): void {
    this.clock.clearTimeout(this.debounceTimer);
    this.debounceTimer = this.clock.setTimeout(() => this.refresh(), DEBOUNCE_MS);
  }

  /** Opens a stream for the queries of the tabs if there is none for exactly these. */
  private refresh(): void {
    const before = this.active;
    this.active = this.tabs.activeQueries();
    const released = [...before.keys()].filter((key) => !this.active.has(key));
    this.states.disconnect(released, "the page was in the background", this.connection.now());
    for (const key of released) this.endings.delete(key);
    if (this.active.size === 0) {
      if (before.size > 0) this.release();
      return;
    }
    const newest = this.pending ?? this.current;
    const reconnecting = this.reconnectTimer !== undefined;
    if (!reconnecting && !(newest && sameKeys(newest.queries, this.active))) this.open();
    else this.updatePolling();
  }

  private open(): void {
    this.cancelReconnect();
    this.reopenAt = undefined;
    this.pending?.close();
    this.extra?.close();
    this.extra = undefined;
    this.pending = this.createGroup();
    this.updatePolling();
  }

  private createGroup(): StreamGroup {
    const group: StreamGroup = new StreamGroup(this.api, this.clock, this.active, {
      onLive: () => this.wentLive(group),
      onEvent: (event) => this.handleEvent(group, event),
      onFailure: (failure) => this.streamFailed(group, failure),
    });
    return group;
  }

  /** After a half-open connection, browsers send the next requests on other connections that have died with it. */
  private openExtra(openedAt: number): void {
    this.mayOpenExtra = false;
    this.attempt += 1;
    this.extraLeadMs = openedAt + SILENCE_MS + backoffDelayMs(this.attempt, this.random) - this.clock.now();
    this.extra = this.createGroup();
  }

  private wentLive(group: StreamGroup): void {
    if (this.current && this.isStable(this.current)) this.attempt = 0;
    for (const other of this.groups) if (other !== group) other.close();
    this.current = group;
    this.pending = undefined;
    this.extra = undefined;
    this.mayOpenExtra = true;
    this.extraLeadMs = 0;
    this.polling = false;
    this.connection.heard();
    this.connection.setPhase("live");
    this.updatePolling();
    this.updateCatalogPolling();
  }

  private get groups(): StreamGroup[] {
    return [this.current, this.pending, this.extra].filter((group) => group !== undefined);
  }

  private handleEvent(group: StreamGroup, event: WatchEvent): void {
    this.connection.heard();
    switch (event.type) {
      case "heartbeat":
        this.handleHeartbeat(event);
        break;
      case "update":
        this.states.update(event.key, event.frame, this.connection.now(), event.staleReason, event.staleSince);
        break;
      case "error":
        this.queryFailed(event.key, event.failure);
        if (event.failure.kind !== "permanent") this.scheduleReopen(group, event.key);
        this.updatePolling(POLL_INTERVAL_MS * (0.5 + this.random() / 2));
        break;
    }
  }

  private scheduleReopen(group: StreamGroup, key: string): void {
    const endings = this.isStable(group) ? 1 : (this.endings.get(key) ?? 0) + 1;
    this.endings.set(key, endings);
    const at = this.clock.now() + Math.min(REOPEN_MS * 2 ** (endings - 1), MAX_REOPEN_MS);
    this.reopenAt = Math.min(this.reopenAt ?? at, at);
  }

  private handleHeartbeat(event: WatchEvent & { type: "heartbeat" }): void {
    const { serverTime, catalogVersion, hasEvents, insightsVersion } = event;
    const before = this.connection.catalogVersion;
    this.connection.heartbeat(serverTime, catalogVersion, hasEvents, insightsVersion);
    this.catalog.report(catalogVersion);
    // A rejected query may be valid now: its panel may have been added or fixed.
    if (before !== undefined && before !== catalogVersion && this.hasFailedQuery()) this.open();
  }

  private hasFailedQuery(): boolean {
    return [...this.active.keys()].some((key) => this.states.get(key)?.status === "failed");
  }

  private streamFailed(group: StreamGroup, failure: Failure): void {
    const established = group.liveSince !== undefined;
    if (group === this.pending) {
      this.pending = this.extra;
      this.extra = undefined;
    }
    if (group === this.extra) this.extra = undefined;
    if (group === this.current) this.current = undefined;
    if (failure.kind === "permanent") {
      this.deny(failure);
      return;
    }
    if (this.isStable(group)) this.attempt = 0;
    if (!this.current) this.setBroken(failure, established ? "stream" : "attempt");
    if (!this.pending) this.scheduleReconnect(failure.retryAfterMs);
    this.polling = true;
    this.updatePolling(established ? MAX_FIRST_POLL_DELAY_MS * this.random() : 0);
    this.updateCatalogPolling();
  }

  private isStable({ liveSince }: StreamGroup): boolean {
    return liveSince !== undefined && this.clock.now() - liveSince >= STABLE_STREAM_MS;
  }

  private setBroken(failure: Failure, source: FailureSource): void {
    this.connection.failed(failure, source);
    if (!isBroken(this.connection.phase)) return;
    this.states.disconnect(this.active.keys(), failure.reason, this.connection.lastKnownAt());
  }

  /** The server rejects the page: calls would be rejected as well. */
  private deny(failure: Failure): void {
    this.closeStreams();
    this.polling = false;
    this.setBroken(failure, "attempt");
    this.updatePolling();
    this.reconnectIn(DENIED_RETRY_MS);
  }

  private scheduleReconnect(retryAfterMs = 0): void {
    this.attempt += 1;
    // Jitter also on the server's delay, which is the same for all browsers.
    const delay = Math.max(backoffDelayMs(this.attempt, this.random), retryAfterMs * (1 + this.random() / 2));
    this.reconnectIn(delay + this.extraLeadMs);
    this.extraLeadMs = 0;
  }

  private reconnectIn(delayMs: number): void {
    this.cancelReconnect();
    this.reconnectTimer = this.clock.setTimeout(() => this.open(), delayMs);
    this.connection.setRetryAt(this.clock.now() + delayMs);
  }

  private cancelReconnect(): void {
    this.clock.clearTimeout(this.reconnectTimer);
    this.reconnectTimer = undefined;
    this.connection.setRetryAt(undefined);
  }

  private closeStreams(): void {
    for (const group of this.groups) group.close();
    this.current = undefined;
    this.pending = undefined;
    this.extra = undefined;
  }

  /** No tab needs a query: nothing is requested from the server. */
  private release(): void {
    this.closeStreams();
    this.cancelReconnect();
    this.polling = false;
    this.updatePolling();
    const { phase } = this.connection;
    // A visible page without panels: the server was heard just now, and the catalogue is polled.
    const known = this.tabs.someVisible && (phase === "live" || phase === "polling");
    this.connection.setPhase(known ? "live" : "connecting");
  }

  /** A page without panels opens no stream: after a while, that the server answers calls is all there is to know. */
  private settleIdle(): void {
    this.clock.clearTimeout(this.idleTimer);
    this.idleTimer = this.clock.setTimeout(() => {
      const idle = this.active.size === 0 && this.tabs.someVisible && !this.connection.silent;
      if (idle && this.connection.phase === "connecting") this.connection.setPhase("live");
    }, IDLE_MS);
  }

  /** A user wants an attempt now. */
  private retry(): void {
    const now = this.clock.now();
    if (now - this.retriedAt < RETRY_INTERVAL_MS) return;
    this.retriedAt = now;
    this.catalog.retry();
    if (this.active.size === 0) return;
    const retriesFailed = this.states.retryFailed(this.active.keys(), this.connection.now());
    const justOpened = this.pending && now - this.pending.openedAt < RETRY_INTERVAL_MS;
    if (!justOpened && (!this.current || retriesFailed)) this.open();
    this.updatePolling();
    this.poller.pollNow();
  }

  /** The browser has a network again. Every tab reports it. */
  private retryAfterOnline(): void {
    this.onlineTimer ??= this.clock.setTimeout(() => {
      this.onlineTimer = undefined;
      if (this.tabs.someVisible) this.retry();
    }, MAX_ONLINE_DELAY_MS * this.random());
  }

  // ---- polling

  private updatePolling(delayMs = 0): void {
    const uncovered = new Map<string, Query>();
    for (const [key, query] of this.active) {
      const covered = this.current?.queries.has(key) && !this.current.ended.has(key);
      const ended = this.current?.ended.has(key);
      if (!covered && (this.polling || ended) && this.states.get(key)?.status !== "failed") uncovered.set(key, query);
    }
    this.poller.update(uncovered, delayMs, delayMs > 0);
  }

  private async poll(key: string, query: Query, signal: AbortSignal): Promise<void> {
    const startedAt = this.clock.now();
    try {
      const frame = await this.api.query(query, signal);
      if (signal.aborted) return;
      this.connection.heard();
      if (!this.current) this.connection.setPhase("polling");
      this.states.updateFromCall(key, frame, this.connection.now());
    } catch (error) {
      if (!signal.aborted) this.pollFailed(key, toFailure(error), startedAt);
    }
  }

  private pollFailed(key: string, failure: Failure, startedAt: number): void {
    if (failure.rejectsPage) {
      this.deny(failure);
      return;
    }
    this.queryFailed(key, failure);
    if (failure.retryAfterMs !== undefined) this.poller.pauseForServer(failure.retryAfterMs);
    if (failure.responded) {
      this.connection.heard();
      if (this.current || this.connection.phase === "polling") {
        this.updatePolling();
        return;
      }
      if (failure.kind === "permanent") this.connection.setPhase("polling");
      else this.setBroken(failure, "call");
    } else if (!this.current && !this.connection.heardSince(startedAt)) {
      // The other calls would fail as well. The next one is a probe.
      if (failure.kind === "transient") this.poller.pause(POLL_INTERVAL_MS * (0.5 + this.random() / 2));
      this.setBroken(failure, "call");
    }
    this.updatePolling();
  }

  private queryFailed(key: string, { kind, reason, responded }: Failure): void {
    const now = this.connection.now();
    if (responded) this.states.reject(key, kind === "permanent", reason, now);
    else this.states.fail(key, kind === "permanent" ? "failed" : "stale", reason, now);
  }

  // ---- catalogue

  private updateCatalogPolling(): void {
    if (!this.tabs.someVisible) this.catalog.stop();
    else if (this.current) this.catalog.stopPolling();
    else this.catalog.poll();
  }

  /** Without queries there is no stream, and the catalogue alone says how the server is. */
  private catalogLoaded({ hasEvents, panels }: Catalog, changed: boolean): void {
    if (this.current) {
      this.connection.heard();
      return;
    }
    this.connection.answered();
    if (this.active.size === 0) {
      // Without panels or events, the page has nothing to query: no stream will follow.
      if (panels.length === 0 || !hasEvents) this.connection.setPhase("live");
      else {
        if (isBroken(this.connection.phase)) this.connection.setPhase("connecting");
        this.settleIdle();
      }
    }
    this.connection.setHasEvents(hasEvents);
    // A rejected query may be valid now.
    if (changed && this.states.retryFailed(this.active.keys(), this.connection.now())) this.updatePolling();
  }

  private catalogFailed(failure: Failure): void {
    if (this.active.size === 0) this.setBroken(failure, "call");
  }

  // ---- one-shot calls

  private async call(tab: TabId, id: number, call: Call, signal: AbortSignal): Promise<void> {
    try {
      const result = await runCall(this.api, call, this.connection.now(), signal);
      if (!signal.aborted) this.post(tab, { type: "result", id, result });
    } catch (error) {
      if (!signal.aborted) this.post(tab, { type: "error", id, ...callFailure(error) });
    }
  }

  // ---- time

  /** Compares times and counts nothing, because browsers delay the timers of workers. */
  private tick(): void {
    const now = this.clock.now();
    // After the computer has slept, the tabs' pings are as late as this timer.
    if (now - this.tickDueAt > SUSPENDED_MS) this.tabs.touchAll();
    if (this.tabs.removeGone()) this.tabsChanged();
    if (!sameKeys(this.active, this.tabs.activeQueries())) this.refresh();

    for (const group of this.groups) {
      if (now - group.lastHeardAt >= SILENCE_MS) group.fail(SILENCE);
    }
    const { phase } = this.connection;
    const withoutStream = phase === "polling" || (phase === "live" && this.active.size === 0);
    if (withoutStream && this.connection.silent) this.setBroken(SILENCE, "call");
    if (this.pending && now - this.pending.openedAt >= FIRST_MESSAGE_MS) {
      const { openedAt } = this.pending;
      if (this.mayOpenExtra && this.connection.heardSince(openedAt)) this.openExtra(openedAt);
      if (!this.polling) {
        this.polling = true;
        this.updatePolling();
      }
    }
    this.updateCatalogPolling();
    if (this.reopenAt !== undefined && now >= this.reopenAt && this.current && !this.pending) this.open();
    this.scheduleTick();
  }

  private scheduleTick(): void {
    this.clock.clearTimeout(this.tickTimer);
    const delay = this.nextTickMs();
    this.tickDueAt = this.clock.now() + delay;
    this.tickTimer = this.tabs.size > 0 ? this.clock.setTimeout(() => this.tick(), delay) : undefined;
  }

  /** Exact for the watchdog: the silence is noticed when it is over. */
  private nextTickMs(): number {
    const now = this.clock.now();
    const deadlines = this.groups.map((group) => group.lastHeardAt + SILENCE_MS);
    return Math.max(0, Math.min(TICK_MS, ...deadlines.map((at) => at - now)));
  }
}

const sameKeys = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean =>
  a.size === b.size && [...a.keys()].every((key) => b.has(key));
