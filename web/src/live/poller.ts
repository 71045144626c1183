// Calls for queries that no stream brings up to date. Spread over the interval, a few at a time, with jitter: many browsers
// start to poll at the moment when a server has failed.

import type { Frame } from "../frame/frame.ts";
import { isExplore, type Query } from "../query/query.ts";
import type { Clock } from "./clock.ts";

export const POLL_INTERVAL_MS = 5_000;
/** Questions of Explore read events each time. */
export const EXPLORE_POLL_INTERVAL_MS = 30_000;
/** A question takes at most this part of the time of one reader of events. */
const EXPLORE_SHARE = 0.05;
export const MAX_CONCURRENT_POLLS = 4;

/** How long after one result the next is asked for. `last` is the last result. */
export function pollIntervalMs(query: Query, last: Frame | undefined): number {
  if (!isExplore(query)) return POLL_INTERVAL_MS;
  const { elapsedMs = 0, minIntervalMs = 0 } = last?.cost ?? {};
  return Math.max(EXPLORE_POLL_INTERVAL_MS, minIntervalMs, elapsedMs / EXPLORE_SHARE);
}

interface Target {
  query: Query;
  nextAt: number;
  abort?: AbortController;
}

export interface PollerOptions {
  clock: Clock;
  random: () => number;
  /** Queries once and handles the outcome. Never rejects. */
  poll: (key: string, query: Query, signal: AbortSignal) => Promise<void>;
  /** The last result, and when it was computed, by `clock`. */
  lastOf: (key: string) => { frame?: Frame; at: number };
}

export class Poller {
  private readonly targets = new Map<string, Target>();
  private running = 0;
  private pausedUntil = 0;
  /** Named by the server: no user can shorten it. */
  private serverPausedUntil = 0;
  private timer: unknown;

  constructor(private readonly options: PollerOptions) {}

  /**
   * Replaces the queries. Those that stay keep their time. New ones are polled after `delayMs`, spread over the interval if
   * `spread` is set.
   */
  update(queries: ReadonlyMap<string, Query>, delayMs: number, spread: boolean): void {
    for (const [key, target] of this.targets) {
      if (queries.has(key)) continue;
      target.abort?.abort();
      this.targets.delete(key);
    }
    const added = [...queries].filter(([key]) => !this.targets.has(key));
    const start = this.options.clock.now() + delayMs;
    for (const [index, [key, query]] of added.entries()) {
      const share = spread ? (POLL_INTERVAL_MS * index) / added.length : 0;
      this.targets.set(key, { query, nextAt: Math.max(start + share, this.earliest(key, query)) });
    }
    this.schedule();
  }

  /** An answer that is expensive serves for a while. */
  private earliest(key: string, query: Query): number {
    const { frame, at } = this.options.lastOf(key);
    return frame && isExplore(query) ? at + pollIntervalMs(query, frame) : 0;
  }

  /** No new calls for a while: the server cannot be reached. */
  pause(ms: number): void {
    this.pausedUntil = Math.max(this.pausedUntil, this.options.clock.now() + ms);
    this.schedule();
  }

  /** No new calls for as long as the server says. */
  pauseForServer(ms: number): void {
    this.serverPausedUntil = Math.max(this.serverPausedUntil, this.options.clock.now() + ms);
    this.schedule();
  }

  /** Polls all queries as soon as the server permits. */
  pollNow(): void {
    const now = this.options.clock.now();
    this.pausedUntil = 0;
    for (const target of this.targets.values()) target.nextAt = Math.min(target.nextAt, now);
    this.schedule();
  }

  private schedule(): void {
    const { clock } = this.options;
    clock.clearTimeout(this.timer);
    this.timer = undefined;
    const waiting = [...this.targets].filter(([, target]) => !target.abort).sort(([, a], [, b]) => a.nextAt - b.nextAt);
    for (const [key, target] of waiting) {
      if (this.running >= MAX_CONCURRENT_POLLS) return;
      const delay = Math.max(target.nextAt, this.pausedUntil, this.serverPausedUntil) - clock.now();
      if (delay > 0) {
        this.timer = clock.setTimeout(() => this.schedule(), delay);
        return;
      }
      void this.run(key, target);
    }
  }

  private async run(key: string, target: Target): Promise<void> {
    const { clock, random, poll } = this.options;
    const startedAt = clock.now();
    target.abort = new AbortController();
    this.running += 1;
    await poll(key, target.query, target.abort.signal);
    this.running -= 1;
    target.abort = undefined;
    const interval = pollIntervalMs(target.query, this.options.lastOf(key).frame);
    target.nextAt = Math.max(clock.now(), startedAt + interval * (0.9 + 0.2 * random()));
    this.schedule();
  }
}
