// The streams that together subscribe to a set of queries: one, or more beyond the server's limit per call. They live and
// fail together.

import { type DashboardApi, MAX_WATCHED_QUERIES, type WatchEvent } from "../api/dashboard.ts";
import { type Failure, toFailure } from "../api/errors.ts";
import type { Query } from "../query/query.ts";
import type { Clock } from "./clock.ts";

export interface StreamGroupHandlers {
  onEvent: (event: WatchEvent) => void;
  /** Each stream has brought its first message. Called before `onEvent` for the last of them. */
  onLive: () => void;
  /** One stream has ended, which is always a failure. All are closed. Called once, and not after `close`. */
  onFailure: (failure: Failure) => void;
}

export class StreamGroup {
  readonly openedAt: number;
  /** Undefined until each stream has brought its first message. */
  liveSince: number | undefined;
  /** Queries that the streams no longer serve: they have ended with an error. */
  readonly ended = new Set<string>();
  private readonly abort = new AbortController();
  private readonly heardAt: (number | undefined)[];

  constructor(
    private readonly api: DashboardApi,
    private readonly clock: Clock,
    /** By key. */
    readonly queries: ReadonlyMap<string, Query>,
    private readonly handlers: StreamGroupHandlers,
  ) {
    this.openedAt = clock.now();
    const list = [...queries.values()];
    const chunks: Query[][] = [];
    for (let start = 0; start < list.length; start += MAX_WATCHED_QUERIES) {
      chunks.push(list.slice(start, start + MAX_WATCHED_QUERIES));
    }
    this.heardAt = chunks.map(() => undefined);
    for (const [index, chunk] of chunks.entries()) void this.run(index, chunk);
  }

  /** When the most silent stream was last heard. */
  get lastHeardAt(): number {
    return Math.min(...this.heardAt.map((at) => at ?? this.openedAt));
  }

  close(): void {
    this.abort.abort();
  }

  fail(failure: Failure): void {
    if (this.abort.signal.aborted) return;
    this.abort.abort();
    this.handlers.onFailure(failure);
  }

  private async run(index: number, queries: Query[]): Promise<void> {
    const { signal } = this.abort;
    try {
      for await (const event of this.api.watch(queries, signal)) {
        if (signal.aborted) return;
        this.heardAt[index] = this.clock.now();
        if (this.liveSince === undefined && this.heardAt.every((at) => at !== undefined)) {
          this.liveSince = this.clock.now();
          this.handlers.onLive();
        }
        if (event.type === "error") this.ended.add(event.key);
        this.handlers.onEvent(event);
      }
      this.fail({
        kind: "transient",
        reason: "the server has ended the connection",
        responded: true,
        rejectsPage: false,
      });
    } catch (error) {
      this.fail(toFailure(error));
    }
  }
}
