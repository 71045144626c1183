// Keeps the catalogue up to date for all tabs: it is loaded when a stream reports another version, and now and then while no
// stream would report one.

import type { DashboardApi } from "../api/dashboard.ts";
import { type Failure, toFailure } from "../api/errors.ts";
import { type Catalog, sameCatalog } from "../frame/catalog.ts";
import { backoffDelayMs } from "../lib/backoff.ts";
import type { Clock } from "./clock.ts";
import type { CatalogState } from "./protocol.ts";

/** While no stream is open. */
export const CATALOG_POLL_MS = 5_000;
/** A permanent error is retried at this interval: the server may have been changed. */
const REJECTED_RETRY_MS = 60_000;

export interface CatalogLoaderOptions {
  api: DashboardApi;
  clock: Clock;
  /** At least 0, less than 1. */
  random: () => number;
  /** Called after each change. */
  onChange: () => void;
  /** Called after each response. `changed` is true if another version was held before. */
  onLoaded: (catalog: Catalog, changed: boolean) => void;
  onFailure: (failure: Failure) => void;
}

export class CatalogLoader {
  state: CatalogState = {};
  /** The version that a stream has reported last. */
  private reported: string | undefined;
  /** Whether no stream reports versions. */
  private polling = false;
  private loading: AbortController | undefined;
  private timer: unknown;
  /** Failures since the last response. */
  private attempt = 0;

  constructor(private readonly options: CatalogLoaderOptions) {}

  /** A stream has reported its version. */
  report(version: string): void {
    if (version === this.reported) return;
    this.reported = version;
    if (version !== this.state.catalog?.version) this.load();
    else if (!this.loading) this.settle({ catalog: this.state.catalog });
  }

  /** No stream reports versions. */
  poll(): void {
    if (this.polling) return;
    this.polling = true;
    if (this.loading || this.timer !== undefined) return;
    // Many browsers lose their streams at the same moment.
    if (this.state.catalog) this.loadIn(CATALOG_POLL_MS * (0.5 + this.options.random() / 2));
    else this.load();
  }

  /** A stream reports versions. What has failed is still loaded again. */
  stopPolling(): void {
    this.polling = false;
    if (this.state.catalog && this.state.failure === undefined) this.cancelTimer();
  }

  /** No tab is visible. */
  stop(): void {
    this.polling = false;
    this.reported = undefined;
    this.cancel();
  }

  /** A user wants an attempt now. */
  retry(): void {
    if (!this.state.catalog || this.state.failure !== undefined) this.load();
  }

  private load(): void {
    this.cancel();
    this.loading = new AbortController();
    void this.run(this.loading.signal);
  }

  private async run(signal: AbortSignal): Promise<void> {
    const { api, onLoaded, onFailure, random } = this.options;
    try {
      const catalog = await api.listPanels(signal);
      if (signal.aborted) return;
      const held = this.state.catalog;
      this.settle({ catalog });
      onLoaded(catalog, held !== undefined && held.version !== catalog.version);
      if (this.polling) this.loadIn(CATALOG_POLL_MS * (0.9 + 0.2 * random()));
    } catch (error) {
      if (signal.aborted) return;
      const failure = toFailure(error);
      const { attempt } = this;
      this.settle({ ...this.state, failure: failure.reason });
      this.attempt = attempt + 1;
      onFailure(failure);
      const delay = failure.kind === "permanent" ? REJECTED_RETRY_MS : backoffDelayMs(this.attempt, random);
      this.loadIn(Math.max(delay, failure.retryAfterMs ?? 0));
    }
  }

  private settle({ catalog, failure }: CatalogState): void {
    this.cancel();
    this.attempt = 0;
    const held = this.state;
    const next: CatalogState = {};
    if (catalog) next.catalog = held.catalog && sameCatalog(held.catalog, catalog) ? held.catalog : catalog;
    if (failure !== undefined) next.failure = failure;
    if (next.catalog === held.catalog && failure === held.failure) return;
    this.state = next;
    this.options.onChange();
  }

  private loadIn(delayMs: number): void {
    this.cancelTimer();
    this.timer = this.options.clock.setTimeout(() => this.load(), delayMs);
  }

  private cancel(): void {
    this.loading?.abort();
    this.loading = undefined;
    this.cancelTimer();
  }

  private cancelTimer(): void {
    this.options.clock.clearTimeout(this.timer);
    this.timer = undefined;
  }
}
