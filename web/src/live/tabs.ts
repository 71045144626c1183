// The tabs of the browser that use the worker, and what each of them watches.

import { type Query, queryKey } from "../query/query.ts";
import type { Clock } from "./clock.ts";
import type { WorkerMessage } from "./protocol.ts";

/** Any value that identifies a tab, for example its port. */
export type TabId = unknown;

/** A visible tab pings every 5 seconds. One that misses three has been killed. */
export const SILENT_TAB_MS = 15_000;
/** A hidden tab keeps its subscriptions for a while: people switch back and forth. */
export const HIDDEN_TAB_MS = 30_000;
/** A tab that has been hidden for this long may have been killed. If it lives, it is added again by its next message. */
export const ABANDONED_TAB_MS = 600_000;

interface Tab {
  queries: Map<string, Query>;
  visible: boolean;
  hiddenAt: number;
  heardAt: number;
  calls: Set<AbortController>;
}

export class Tabs {
  private readonly tabs = new Map<TabId, Tab>();

  constructor(
    private readonly clock: Clock,
    private readonly post: (tab: TabId, message: WorkerMessage) => void,
  ) {}

  get size(): number {
    return this.tabs.size;
  }

  get someVisible(): boolean {
    return [...this.tabs.values()].some((tab) => tab.visible);
  }

  /** Adds the tab if it is unknown, and notes that it is alive. Returns whether it was known. */
  touch(id: TabId): boolean {
    const now = this.clock.now();
    const tab = this.tabs.get(id);
    if (tab) tab.heardAt = now;
    else this.tabs.set(id, { queries: new Map(), visible: true, hiddenAt: now, heardAt: now, calls: new Set() });
    return tab !== undefined;
  }

  touchAll(): void {
    for (const id of this.tabs.keys()) this.touch(id);
  }

  /** Replaces the tab's queries. Returns the keys that are new to it. */
  watch(id: TabId, queries: Query[]): string[] {
    const tab = this.tabs.get(id);
    if (!tab) return [];
    const before = tab.queries;
    tab.queries = new Map(queries.map((query) => [queryKey(query), query]));
    return [...tab.queries.keys()].filter((key) => !before.has(key));
  }

  /** Returns whether the visibility has changed. */
  setVisible(id: TabId, visible: boolean): boolean {
    const tab = this.tabs.get(id);
    if (!tab || tab.visible === visible) return false;
    tab.visible = visible;
    tab.hiddenAt = this.clock.now();
    return true;
  }

  remove(id: TabId): void {
    for (const call of this.tabs.get(id)?.calls ?? []) call.abort();
    this.tabs.delete(id);
  }

  /** Returns whether there was one. A hidden tab is not expected to ping: browsers suspend its timers. */
  removeGone(): boolean {
    const now = this.clock.now();
    const gone = [...this.tabs].filter(([, { visible, heardAt, hiddenAt }]) =>
      visible ? now - heardAt >= SILENT_TAB_MS : now - Math.max(heardAt, hiddenAt) >= ABANDONED_TAB_MS,
    );
    for (const [id] of gone) this.remove(id);
    return gone.length > 0;
  }

  /** The signal is aborted when the tab goes. */
  async runCall(id: TabId, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const calls = this.tabs.get(id)?.calls;
    if (!calls) return;
    const abort = new AbortController();
    calls.add(abort);
    await run(abort.signal);
    calls.delete(abort);
  }

  /** The queries of all tabs. */
  queries(): Query[] {
    return [...this.tabs.values()].flatMap((tab) => [...tab.queries.values()]);
  }

  queriesOf(id: TabId): string[] {
    return [...(this.tabs.get(id)?.queries.keys() ?? [])];
  }

  /** The queries that must be kept up to date, by key: those of the tabs that are visible, or were until recently. */
  activeQueries(): Map<string, Query> {
    const now = this.clock.now();
    const active = [...this.tabs.values()].filter((tab) => tab.visible || now - tab.hiddenAt < HIDDEN_TAB_MS);
    return new Map(active.flatMap((tab) => [...tab.queries]));
  }

  /** To all visible tabs, or to those of them that watch the query. A tab that becomes visible gets everything at once. */
  broadcast(message: WorkerMessage, key?: string): void {
    for (const [id, tab] of this.tabs) {
      if (tab.visible && (key === undefined || tab.queries.has(key))) this.post(id, message);
    }
  }
}
