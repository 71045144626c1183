// The state of every query that a tab has. Pure: no timers, no calls.

import type { Frame } from "../frame/frame.ts";
import { isExplore, type Query, queryKey } from "../query/query.ts";
import type { QueryState, QueryStatus } from "./protocol.ts";

/** A frame that is older by more than this is no late response: the server's clock has been set back. */
const MAX_LATE_MS = 60_000;

export class QueryStates {
  private readonly queries = new Map<string, Query>();
  private readonly states = new Map<string, QueryState>();

  constructor(
    /** Called after each change. */
    private readonly onChange: (key: string, state: QueryState) => void,
  ) {}

  get(key: string): QueryState | undefined {
    return this.states.get(key);
  }

  /** Keeps these queries and forgets all others. */
  retain(queries: Query[], initial: QueryState): void {
    const wanted = new Map(queries.map((query) => [queryKey(query), query]));
    for (const key of this.queries.keys()) {
      if (wanted.has(key)) continue;
      this.queries.delete(key);
      this.states.delete(key);
    }
    for (const [key, query] of wanted) {
      if (this.queries.has(key)) continue;
      this.queries.set(key, query);
      this.states.set(key, initial);
    }
  }

  /** A result from a call, whose response may be late: a slightly older frame than the one held changes the status only. */
  updateFromCall(key: string, frame: Frame, now: number): void {
    const held = this.states.get(key)?.frame;
    const age = held ? held.context.computedAt - frame.context.computedAt : 0;
    this.update(key, held && age > 0 && age <= MAX_LATE_MS ? held : withPace(frame, held), now);
  }

  /** A result from a stream, which is ordered: its frame replaces the one held, also after the server's clock was set back. */
  update(key: string, frame: Frame | undefined, now: number, staleReason?: string, staleSince?: number): void {
    const held = this.states.get(key);
    if (!held) return;
    const newest = frame ?? held.frame;
    // The server tells what it cannot compute, for example because it would read too much: only the reader can change that.
    const unanswered = staleReason !== undefined && !newest && this.isQuestion(key);
    if (unanswered) this.set(key, "failed", now, staleReason, undefined);
    else if (staleReason !== undefined) this.set(key, "stale", staleSince ?? now, staleReason, newest);
    else if (frame) this.set(key, "live", now, undefined, newest);
    else if (!newest) this.set(key, "loading", now, undefined, undefined);
  }

  fail(key: string, status: "stale" | "failed", reason: string, now: number): void {
    const held = this.states.get(key);
    if (held) this.set(key, status, now, reason, held.frame);
  }

  /** The server has responded to the query with an error. Transient ones end by themselves, if there is a result to show. */
  reject(key: string, permanent: boolean, reason: string, now: number): void {
    const unanswered = this.isQuestion(key) && !this.states.get(key)?.frame;
    this.fail(key, permanent || unanswered ? "failed" : "stale", reason, now);
  }

  private isQuestion(key: string): boolean {
    const query = this.queries.get(key);
    return query !== undefined && isExplore(query);
  }

  /** Failed queries wait for another result. Returns whether there are any. */
  retryFailed(keys: Iterable<string>, now: number): boolean {
    const failed = [...keys].filter((key) => this.states.get(key)?.status === "failed");
    for (const key of failed) {
      const frame = this.states.get(key)?.frame;
      if (frame) this.set(key, "stale", now, "waiting for the server", frame);
      else this.set(key, "loading", now, undefined, undefined);
    }
    return failed.length > 0;
  }

  /** The connection cannot bring these up to date. A failed query stays failed. */
  disconnect(keys: Iterable<string>, reason: string, since: number): void {
    for (const key of keys) {
      const status = this.states.get(key)?.status;
      if (status === "live" || status === "loading") this.fail(key, "stale", reason, since);
    }
  }

  private set(key: string, status: QueryStatus, since: number, reason: string | undefined, frame: Frame | undefined) {
    const held = this.states.get(key);
    const same = held?.status === status;
    if (same && held.reason === reason && held.frame === frame) return;
    const state: QueryState = { status, since: same ? held.since : since };
    if (reason !== undefined) state.reason = reason;
    if (frame) state.frame = frame;
    this.states.set(key, state);
    this.onChange(key, state);
  }
}

/** Only streams say at which distance the server computes. */
function withPace(frame: Frame, held: Frame | undefined): Frame {
  const minIntervalMs = held?.cost?.minIntervalMs;
  if (!frame.cost || frame.cost.minIntervalMs !== undefined || minIntervalMs === undefined) return frame;
  return { ...frame, cost: { ...frame.cost, minIntervalMs } };
}
