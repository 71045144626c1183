// The hub in process, over the fake server. Needs fake timers.

import { afterEach, beforeEach, vi } from "vitest";
import { createDashboardApi } from "../api/dashboard.ts";
import { exploration } from "../api/explore.ts";
import * as exploreApi from "../api/exploreApi.ts";
import { grpcWebClient } from "../api/grpcWeb.ts";
import { systemClock } from "../live/clock.ts";
import { Hub } from "../live/hub.ts";
import type { OpenPort } from "../live/openWorker.ts";
import type { Call, CatalogState, ConnectionState, QueryState, TabMessage, WorkerMessage } from "../live/protocol.ts";
import {
  type ExploreQuery,
  exploreQuery,
  type PanelQuery,
  type Query,
  queryKey,
  type Selection,
} from "../query/query.ts";
import { FakeServer } from "./fakeServer.ts";

export const query = (panel: string, range: PanelQuery["range"] = "1h"): PanelQuery => ({ panel, range, zone: "UTC" });

/** A trend of one event. */
export const trend = (eventName: string, selection: Partial<Selection> = {}): ExploreQuery =>
  exploreQuery(exploration({ case: "trend", value: { series: [{ eventName }] } }), {
    range: "1h",
    zone: "UTC",
    ...selection,
  });

/** The lead figure. */
export const figure = (state: QueryState | undefined) => state?.frame?.figures[0]?.value;

/** Advances the fake time. In steps, because each message of the in-memory transport takes several turns. */
export async function advance(ms = 0): Promise<void> {
  for (let left = ms; left > 0; left -= 100) await vi.advanceTimersByTimeAsync(Math.min(100, left));
  for (let turn = 0; turn < 20; turn += 1) await vi.advanceTimersByTimeAsync(0);
}

interface Recipient {
  receive(message: WorkerMessage): void;
}

export class TestTab implements Recipient {
  readonly messages: WorkerMessage[] = [];
  private pings: ReturnType<typeof setInterval> | undefined;
  private calls = 0;

  constructor(
    private readonly hub: Hub,
    visible = true,
  ) {
    if (visible) this.show();
    else this.hide();
  }

  receive(message: WorkerMessage): void {
    this.messages.push(message);
  }

  show(): void {
    const ping = () => this.hub.receive(this, { type: "ping", visible: true });
    ping();
    clearInterval(this.pings);
    this.pings = setInterval(ping, 5_000);
  }

  hide(): void {
    this.die();
    this.hub.receive(this, { type: "ping", visible: false });
  }

  /** Without a word. */
  die(): void {
    clearInterval(this.pings);
  }

  close(): void {
    this.die();
    this.hub.receive(this, { type: "bye" });
  }

  watch(...queries: Query[]): void {
    this.hub.receive(this, { type: "watch", queries });
  }

  retry(): void {
    this.hub.receive(this, { type: "retry" });
  }

  call(call: Call): number {
    this.calls += 1;
    this.hub.receive(this, { type: "call", id: this.calls, call });
    return this.calls;
  }

  state(panel: string, range: PanelQuery["range"] = "1h"): QueryState | undefined {
    return this.stateOf(query(panel, range));
  }

  stateOf(watched: Query): QueryState | undefined {
    const key = queryKey(watched);
    const last = this.messages.findLast((message) => message.type === "query" && message.key === key);
    return last?.type === "query" ? last.state : undefined;
  }

  get catalog(): CatalogState {
    const last = this.messages.findLast((message) => message.type === "catalog");
    if (last?.type !== "catalog") throw new Error("no catalogue was sent");
    return last.state;
  }

  get connectionMessage() {
    const last = this.messages.findLast((message) => message.type === "connection");
    if (last?.type !== "connection") throw new Error("no connection state was sent");
    return last;
  }

  get connection(): ConnectionState {
    return this.connectionMessage.state;
  }
}

export class TestHub {
  readonly server = new FakeServer();
  /** What `random` returns. */
  random = 0.5;
  /** The worker that new ports reach. */
  worker = this.createWorker();

  get hub(): Hub {
    return this.worker.hub;
  }

  private createWorker(): { hub: Hub; alive: boolean } {
    const hub = new Hub({
      api: createDashboardApi(grpcWebClient("http://in-memory/", this.server.fetch), () => Promise.resolve(exploreApi)),
      clock: systemClock,
      random: () => this.random,
      post: (tab, message) => (tab as Recipient).receive(structuredClone(message)),
    });
    return { hub, alive: true };
  }

  /** The generations of all ports opened so far. */
  readonly opened: number[] = [];
  /** The types of the messages that ports have brought to workers. */
  readonly received: TabMessage["type"][] = [];
  /** True: the worker loads its script. What tabs send waits. */
  loading = false;
  private waiting: (() => void)[] = [];

  loaded(): void {
    this.loading = false;
    for (const deliver of this.waiting.splice(0)) deliver();
  }

  /** True: what tabs send is lost. */
  lossy = false;

  /** Like a MessagePort: asynchronous, with structured clones. */
  readonly openPort: OpenPort = (generation, onMessage) => {
    this.opened.push(generation);
    if (!this.worker.alive) this.worker = this.createWorker();
    const { worker } = this;
    const tab: Recipient = { receive: (message) => queueMicrotask(() => worker.alive && onMessage(message)) };
    return {
      post: (message) => {
        const copy = structuredClone(message);
        if (this.lossy) return;
        const deliver = () => {
          if (!worker.alive) return;
          this.received.push(copy.type);
          worker.hub.receive(tab, copy);
        };
        if (this.loading) this.waiting.push(deliver);
        else queueMicrotask(deliver);
      },
      close: () => {},
    };
  };

  tab(visible = true): TestTab {
    return new TestTab(this.hub, visible);
  }

  /** A tab that watches the panels and is live. */
  async liveTab(...panels: string[]): Promise<TestTab> {
    const tab = this.tab();
    tab.watch(...panels.map((panel) => query(panel)));
    await advance(100);
    return tab;
  }
}

/** Gives each test of a file a new hub, on fake time. */
export function hubForEachTest(use: (hub: TestHub) => void): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: new Date("2026-03-01T12:00:00Z") });
    use(new TestHub());
  });
  afterEach(() => vi.useRealTimers());
}
