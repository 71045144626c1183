// The state of the connection, as the tabs show it. Pure: it is told what happens.

import type { Failure } from "../api/errors.ts";
import { type Clock, ClockOffset } from "./clock.ts";
import type { ConnectionPhase, ConnectionState } from "./protocol.ts";

/** The server sends a heartbeat every 5 seconds: two are missing. The rest of 12 seconds is for what people see of it. */
export const SILENCE_MS = 11_500;

export const isBroken = (phase: ConnectionPhase): boolean =>
  phase === "stale" || phase === "offline" || phase === "denied";

/** What has failed: a stream that had worked, the attempt to open one, or a call. */
export type FailureSource = "stream" | "attempt" | "call";

export class Connection {
  catalogVersion: string | undefined;
  hasEvents: boolean | undefined;
  private readonly offset = new ClockOffset();
  private current: ConnectionState;
  /** By the browser's clock. */
  private heardAt: number | undefined;

  constructor(
    private readonly clock: Clock,
    /** Called after each change that people can see, and after each heartbeat. */
    private readonly onChange: () => void,
  ) {
    this.current = { phase: "connecting", since: clock.now(), clockOffsetMs: 0 };
  }

  get state(): ConnectionState {
    return this.current;
  }

  get phase(): ConnectionPhase {
    return this.current.phase;
  }

  /** The server's clock. */
  now(): number {
    return this.clock.now() + this.offset.ms;
  }

  /** When the server was last heard, by its clock. Now if it has never been heard. */
  lastKnownAt(): number {
    return this.current.lastHeardAt ?? this.now();
  }

  get silent(): boolean {
    return this.heardAt === undefined || this.clock.now() - this.heardAt >= SILENCE_MS;
  }

  heardSince(at: number): boolean {
    return this.heardAt !== undefined && this.heardAt >= at;
  }

  /** Anything that only the server can have sent. */
  heard(): void {
    this.heardAt = this.clock.now();
    this.current = { ...this.current, lastHeardAt: this.now() };
  }

  /** A call has been answered, and no stream tells the tabs that the server is there. */
  answered(): void {
    this.heard();
    this.onChange();
  }

  heartbeat(serverTime: number, catalogVersion: string, hasEvents: boolean, insightsVersion?: string): void {
    this.offset.add(serverTime, this.clock.now());
    this.catalogVersion = catalogVersion;
    this.hasEvents = hasEvents;
    this.heard();
    this.current = { ...this.current, clockOffsetMs: this.offset.ms, ...(insightsVersion && { insightsVersion }) };
    this.onChange();
  }

  /** From a call: no heartbeat says it. */
  setHasEvents(hasEvents: boolean): void {
    if (this.hasEvents === hasEvents) return;
    this.hasEvents = hasEvents;
    this.onChange();
  }

  setPhase(phase: ConnectionPhase, reason?: string): void {
    const { current } = this;
    if (current.phase === phase && current.reason === reason) return;
    let { since } = current;
    if (current.phase !== phase) {
      if (!isBroken(phase)) since = this.now();
      else if (!isBroken(current.phase)) since = this.lastKnownAt();
    }
    const { reason: _, ...rest } = current;
    this.current = reason === undefined ? { ...rest, phase, since } : { ...rest, phase, since, reason };
    this.onChange();
  }

  /** Undefined while no attempt is planned. */
  setRetryAt(retryAt: number | undefined): void {
    if (this.current.retryAt === retryAt) return;
    const { retryAt: _, ...rest } = this.current;
    this.current = retryAt === undefined ? rest : { ...rest, retryAt };
    this.onChange();
  }

  failed(failure: Failure, source: FailureSource): void {
    if (failure.kind === "permanent") {
      this.setPhase("denied", failure.reason);
      return;
    }
    // Calls still get through.
    if (source !== "call" && this.phase === "polling" && !this.silent) return;
    // Calls have found that nothing listens: a stream that was opened before is silent for the same reason.
    if (source === "attempt" && this.phase === "offline" && failure.kind === "slow") return;
    const unreachable = failure.kind === "transient" && !failure.responded && source !== "stream";
    this.setPhase(unreachable ? "offline" : "stale", failure.reason);
  }
}
