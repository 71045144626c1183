// Follows events: owns the connection and the rows. The page reads a snapshot that changes a few times a second at most.

import { toFailure } from "../../api/errors.ts";
import { ConnectionLost } from "../../api/status.ts";
import { backoffDelayMs } from "../../lib/backoff.ts";
import { EventBuffer, type Row } from "./buffer.ts";
import type { EventFilterInit } from "./conditions.ts";
import { isTestEvent, type LiveEvent } from "./events.ts";
import { Rates, type Sampling } from "./rates.ts";
import type { EventSource } from "./source.ts";

/** The server's maximum. */
export const RECENT = 100;
const PAGE_SIZE = 500;
/** A gap is loaded in so many pages at a time: what is left stays a gap. */
const GAP_PAGES = 4;
/** How far back older events are looked for at the end of the list. */
export const OLDER_DAYS = 30;
const OLDER_MS = OLDER_DAYS * 86_400_000;
/** What was accepted just before a tail began may be neither stored nor live then. So long after, it is stored. */
const LANDED_MS = 5_000;
/** How far back it is looked for. A server that was restarted takes longer to store what it had accepted. */
const UNLANDED_MS = 10_000;
/** A connection that is lost again and again leaves one interval each time. */
const MAX_UNLANDED = 10;
/** At most so often the page is drawn anew: text that changes faster cannot be read. */
const PUBLISH_MS = 400;
/** A tail is closed so long after its tab was hidden. The server has a limited number of them. */
const HIDDEN_MS = 30_000;

/**
 * `connecting`: no response yet. `live`: events arrive as they are accepted. `retrying`: the connection is lost; the next attempt
 * is at `retryAt`. `failed`: the server rejects the request, and would again. `suspended`: the tab is hidden.
 */
export type Phase = "connecting" | "live" | "retrying" | "failed" | "suspended";

export interface Arrival {
  event: LiveEvent;
  /** When it was on the page, by the browser's clock. */
  arrivedAt: number;
}

export interface Snapshot {
  phase: Phase;
  /** Why the connection is lost or rejected. */
  reason?: string;
  /** When the phase began, by the browser's clock. */
  since: number;
  retryAt?: number;
  /** Changes with the rows. */
  version: number;
  length: number;
  /** Events that have arrived since the list is held. */
  waiting: number;
  /** Events that were dropped because the list was full. */
  dropped: number;
  sampling: Sampling;
  /** Matching events per second, the oldest first. */
  perSecond: number[];
  /** Why the first events could not be read. */
  recentProblem: string;
  older: { state: "idle" | "loading" | "end" | "full" | "failed"; reason?: string };
  /** The first event that came live, and the last one of the test button. */
  firstArrival?: Arrival;
  testArrival?: Arrival;
}

type State = Pick<
  Snapshot,
  "phase" | "reason" | "since" | "retryAt" | "recentProblem" | "older" | "firstArrival" | "testArrival"
>;

export interface StreamOptions {
  filter: EventFilterInit | undefined;
  maxPerSecond: number;
}

const NO_SAMPLING: Sampling = { shown: 0, leftOut: 0, unexamined: 0 };

export class LiveStream {
  private readonly buffer = new EventBuffer();
  private readonly rates = new Rates();
  private readonly listeners = new Set<() => void>();
  private connection: AbortController | undefined;
  private readonly searches = new Set<AbortController>();
  /** Since when events are counted without an interruption. */
  private countedSince = Number.POSITIVE_INFINITY;
  private attempts = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private landedTimer: ReturnType<typeof setTimeout> | undefined;
  private hiddenTimer: ReturnType<typeof setTimeout> | undefined;
  private publishTimer: ReturnType<typeof setTimeout> | undefined;
  private publishedAt = Number.NEGATIVE_INFINITY;
  /** What was accepted just before each connection, as far as it was not looked for yet. */
  private unlanded: { from: number; to: number }[] = [];
  /** When events may have begun to be missing. */
  private lostAt: number | undefined;
  private olderToken = "";
  private olderFrom: number | undefined;
  private state: State;
  private version = 0;
  private snapshot: Snapshot;

  constructor(
    private options: StreamOptions,
    private readonly source: EventSource,
    private readonly clock: () => number = Date.now,
  ) {
    this.state = { phase: "connecting", since: clock(), recentProblem: "", older: { state: "idle" } };
    this.snapshot = {
      ...this.state,
      version: 0,
      length: 0,
      waiting: 0,
      dropped: 0,
      sampling: NO_SAMPLING,
      perSecond: [],
    };
  }

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  readonly read = (): Snapshot => this.snapshot;

  /** The newest row has the index 0. Valid for the current snapshot. */
  row(index: number): Row | undefined {
    return this.buffer.at(index);
  }
  indexOf(key: number): number {
    return this.buffer.indexOf(key);
  }

  start(): void {
    void this.connect();
  }

  /** Ends the connection and everything that is under way. It can be started again. */
  stop(): void {
    this.disconnect();
    clearTimeout(this.hiddenTimer);
    clearTimeout(this.publishTimer);
    this.publishTimer = undefined;
    for (const search of this.searches) search.abort();
    this.searches.clear();
  }

  /** Holds the rows still: what arrives waits. */
  hold(on: boolean): void {
    this.buffer.hold(on);
    this.publish(true);
  }

  /** Connects at once: the reader has asked for it, or the server is known to be back. */
  retry(): void {
    if (this.state.phase === "live") this.lostAt ??= this.clock();
    this.attempts = 0;
    this.disconnect();
    void this.connect();
  }

  /** Keeps the rows: only how many further ones are shown changes. */
  setMaxPerSecond(maxPerSecond: number): void {
    if (maxPerSecond === this.options.maxPerSecond) return;
    this.options = { ...this.options, maxPerSecond };
    this.rates.clear();
    if (this.connection || this.state.phase === "retrying") this.retry();
  }

  setVisible(visible: boolean): void {
    clearTimeout(this.hiddenTimer);
    if (visible && this.state.phase === "suspended") this.retry();
    else if (visible) this.publish(true);
    else this.hiddenTimer = setTimeout(() => this.suspend(), HIDDEN_MS);
  }

  private suspend(): void {
    if (this.state.phase === "failed") return;
    if (this.state.phase === "live") this.lostAt ??= this.clock();
    this.disconnect();
    this.change({ phase: "suspended", reason: undefined, retryAt: undefined });
  }

  private disconnect(): void {
    clearTimeout(this.retryTimer);
    clearTimeout(this.landedTimer);
    this.connection?.abort();
    this.connection = undefined;
  }

  private async connect(): Promise<void> {
    const connection = new AbortController();
    this.connection = connection;
    const { filter, maxPerSecond } = this.options;
    if (this.state.phase !== "retrying") this.change({ phase: "connecting" });
    try {
      let isFirst = true;
      for await (const message of this.source.tail({ filter, maxPerSecond, recent: RECENT }, connection.signal)) {
        if (connection.signal.aborted) return;
        if (isFirst) this.begin(message.events, message.recentProblem);
        else this.receive(message.events);
        this.rates.add(this.clock(), isFirst ? 0 : message.events.length, message.leftOut, message.unexamined);
        isFirst = false;
        this.publish();
      }
      throw new ConnectionLost("the stream has ended");
    } catch (error) {
      if (!connection.signal.aborted) this.lose(error);
    }
  }

  /** The stored events of a new connection: what was missed is among them, or a gap is left. */
  private begin(recent: LiveEvent[], recentProblem: string): void {
    this.attempts = 0;
    const now = this.clock();
    this.countedSince = now;
    const newest = this.buffer.newest;
    const { added, overlaps } = this.buffer.unknown(recent);
    const isComplete = overlaps || (recentProblem === "" && recent.length < RECENT);
    if (newest && !isComplete) {
      const to = added[0]?.at ?? now;
      if (to > newest.at) this.buffer.appendGap(newest.at, to);
    }
    this.buffer.append(added, this.lostAt === undefined ? undefined : now);
    const from = Math.max(now - UNLANDED_MS, this.lostAt ?? 0, recent.at(-1)?.at ?? 0);
    this.unlanded = [...this.unlanded, { from, to: now }].slice(-MAX_UNLANDED);
    clearTimeout(this.landedTimer);
    this.landedTimer = setTimeout(() => void this.addLanded(), LANDED_MS);
    this.lostAt = undefined;
    this.change({ phase: "live", reason: undefined, retryAt: undefined, recentProblem });
    // The first message has a second for them, a search has longer.
    if (recentProblem !== "" && this.buffer.length === 0) void this.loadOlder();
  }

  private async addLanded(): Promise<void> {
    const intervals = this.unlanded;
    this.unlanded = [];
    for (const { from, to } of intervals) {
      try {
        const page = await this.search(from, to + 1, "");
        if (!page) return;
        // The server searches whole seconds. What is outside may be a part of a gap, which loads it in its place.
        const within = page.events.filter(({ at }) => at >= from && at <= to).reverse();
        this.buffer.append(this.buffer.unknown(within).added, this.clock());
      } catch {
        // Without a connection, the next one looks for them.
        if (this.state.phase === "live") this.buffer.appendGap(from, to);
        else this.unlanded.push({ from, to });
      }
    }
    this.publish(true);
  }

  private receive(events: LiveEvent[]): void {
    const [first] = events;
    if (!first) return;
    const arrivedAt = this.clock();
    this.buffer.append(events, arrivedAt);
    const test = events.findLast(isTestEvent);
    if (test) this.state = { ...this.state, testArrival: { event: test, arrivedAt } };
    if (!this.state.firstArrival) this.state = { ...this.state, firstArrival: { event: first, arrivedAt } };
  }

  private lose(error: unknown): void {
    const { kind, reason, retryAfterMs } = toFailure(error);
    const now = this.clock();
    if (this.state.phase === "live") this.lostAt = now;
    clearTimeout(this.landedTimer);
    this.connection = undefined;
    if (kind === "permanent") {
      this.change({ phase: "failed", reason, retryAt: undefined });
      return;
    }
    this.attempts += 1;
    const delay = Math.max(backoffDelayMs(this.attempts), retryAfterMs ?? 0);
    this.change({ phase: "retrying", reason, retryAt: now + delay });
    this.retryTimer = setTimeout(() => void this.connect(), delay);
  }

  private change(change: Partial<State>): void {
    const since = change.phase !== undefined && change.phase !== this.state.phase ? this.clock() : this.state.since;
    this.state = { ...this.state, since, ...change };
    this.publish(true);
  }

  /** The first change is shown at once, further ones together. A hidden tab has no frames. */
  private publish(now = false): void {
    const wait = this.publishedAt + PUBLISH_MS - this.clock();
    if (!now && wait > 0) {
      this.publishTimer ??= setTimeout(() => this.publish(true), wait);
      return;
    }
    clearTimeout(this.publishTimer);
    this.publishTimer = undefined;
    this.publishedAt = this.clock();
    this.version += 1;
    this.snapshot = {
      ...this.state,
      version: this.version,
      length: this.buffer.length,
      waiting: this.buffer.waiting,
      dropped: this.buffer.dropped,
      sampling: this.rates.sampling(this.publishedAt),
      perSecond: this.rates.perSecond(this.publishedAt, this.countedSince),
    };
    for (const listener of this.listeners) listener();
  }

  /** The note about sampling and the line go on while nothing arrives. */
  tick(): void {
    this.publish(true);
  }

  private async search(from: number, to: number, pageToken: string) {
    const abort = new AbortController();
    this.searches.add(abort);
    try {
      const { filter } = this.options;
      const request = { filter, from, to, pageSize: PAGE_SIZE, pageToken };
      const page = await this.source.search(request, abort.signal);
      return abort.signal.aborted ? undefined : page;
    } catch (error) {
      if (abort.signal.aborted) return undefined;
      throw error;
    } finally {
      this.searches.delete(abort);
    }
  }

  /** Loads the events of a gap. What does not fit into a few pages stays a gap. */
  async loadGap(key: number): Promise<void> {
    const index = this.buffer.indexOf(key);
    const gap = index < 0 ? undefined : this.buffer.at(index);
    if (gap?.kind !== "gap" || gap.state === "loading") return;
    this.buffer.setGap(key, { state: "loading" });
    this.publish(true);
    try {
      const events: LiveEvent[] = [];
      let token = "";
      for (let page = 0; page < GAP_PAGES; page += 1) {
        const result = await this.search(gap.from, gap.to + 1, token);
        if (!result) return;
        events.push(...result.events);
        token = result.nextPageToken;
        if (token === "") break;
      }
      const oldest = events.at(-1)?.at;
      const rest = token !== "" && oldest !== undefined && oldest > gap.from;
      this.buffer.fillGap(key, events, rest ? { from: gap.from, to: oldest } : undefined);
    } catch (error) {
      this.buffer.setGap(key, { state: "failed", reason: toFailure(error).reason });
    }
    this.publish(true);
  }

  /** Loads older events at the end of the list. */
  async loadOlder(): Promise<void> {
    const { state } = this.state.older;
    if (state === "loading" || state === "end" || state === "full") return;
    if (this.buffer.isFull) {
      this.change({ older: { state: "full" } });
      return;
    }
    this.olderFrom ??= this.buffer.oldest?.at ?? this.clock();
    this.change({ older: { state: "loading" } });
    try {
      const page = await this.search(this.olderFrom - OLDER_MS, this.olderFrom + 1, this.olderToken);
      if (!page) return;
      this.olderToken = page.nextPageToken;
      this.buffer.addOlder(page.events);
      this.change({ recentProblem: "", older: { state: page.nextPageToken === "" ? "end" : "idle" } });
    } catch (error) {
      this.change({ older: { state: "failed", reason: toFailure(error).reason } });
    }
  }
}
