// Owns the live stream. It subscribes to all panels over one stream. When the stream fails, it reconnects with backoff and
// polls in the meantime, so that the panels keep updating. It dispatches actions and holds no UI state.

import type { DashboardClient } from "../api/client.tsx";
import { describeError } from "../api/describeError.ts";
import { fetchPanel } from "../api/fetchPanel.ts";
import { listPanels } from "../api/listPanels.ts";
import type { QueryParams } from "../api/queryParams.ts";
import { type WatchQuery, watchPanels } from "../api/watchPanels.ts";
import type { ListPanelsResponse, WatchPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { backoffDelayMs } from "../lib/backoff.ts";
import { sleep } from "../lib/sleep.ts";
import { BUILT_IN_PANELS } from "./builtInPanels.ts";
import type { LiveAction } from "./state.ts";

export const POLL_INTERVAL_MS = 5_000;
export const LIST_INTERVAL_MS = 10_000;
/** A stream without a message for this long after it was requested is supplemented by polling. */
const FIRST_MESSAGE_TIMEOUT_MS = 5_000;

/** Id of the query that detects the first event. It is subscribed to only while the server has none. */
const ANY_EVENTS = "any_events";

export interface PanelSubscription {
  /** Queries every panel and reconnects the stream now. */
  retry: () => void;
  stop: () => void;
}

/** Abort reason of a stream whose list of panels has changed. Not a failure: the next stream starts at once. */
class PanelListChanged extends Error {}

const sameNames = (a: ListPanelsResponse, b: ListPanelsResponse): boolean =>
  a.panels.map((panel) => panel.name).join() === b.panels.map((panel) => panel.name).join();

export function subscribeToPanels(
  client: DashboardClient,
  params: QueryParams,
  dispatch: (action: LiveAction) => void,
): PanelSubscription {
  const lifetime = new AbortController();
  let names: string[] = [...BUILT_IN_PANELS];
  let list: ListPanelsResponse | undefined;
  let hasEvents: boolean | undefined;
  let poller: AbortController | undefined;
  let backoff = new AbortController();
  let attempt = 0;

  const dispatchIfActive = (action: LiveAction) => {
    if (!lifetime.signal.aborted) dispatch(action);
  };

  async function refreshPanel(panel: string, signal: AbortSignal): Promise<void> {
    try {
      const value = await fetchPanel(client, panel, params, signal);
      if (!signal.aborted) dispatchIfActive({ type: "panelUpdated", panel, value, at: Date.now() });
    } catch (error) {
      if (!signal.aborted) {
        dispatchIfActive({ type: "panelFailed", panel, ...describeError(error), at: Date.now() });
      }
    }
  }

  async function checkForEvents(signal: AbortSignal): Promise<void> {
    if (hasEvents) return;
    const value = await fetchPanel(client, "error_rate", { ...params, range: "7d" }, signal);
    recordEvents(value.case === "errorRate" && value.value.points.some((point) => point.events > 0n));
  }

  function recordEvents(any: boolean): void {
    hasEvents = any || hasEvents === true;
    dispatchIfActive({ type: "eventsChecked", any: hasEvents });
  }

  async function poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const panels = names.map((name) => refreshPanel(name, signal));
      // A failure here is ignored: the panels report the same fault.
      await Promise.all([...panels, checkForEvents(signal).catch(() => {})]);
      await sleep(POLL_INTERVAL_MS, signal);
    }
  }

  function startPolling(): void {
    if (poller || lifetime.signal.aborted) return;
    poller = new AbortController();
    void poll(poller.signal);
  }

  function stopPolling(): void {
    poller?.abort();
    poller = undefined;
  }

  async function refreshList(signal: AbortSignal): Promise<void> {
    const next = await listPanels(client, signal);
    const changed = list !== undefined && !sameNames(list, next);
    list = next;
    names = next.panels.map((panel) => panel.name);
    dispatchIfActive({ type: "panelsListed", list: next, at: Date.now() });
    if (changed) throw new PanelListChanged();
  }

  /**
   * Lists the panels periodically while a stream is open. This detects added and removed panels, and also a dead
   * connection that was never closed: the stream alone would wait on it indefinitely.
   */
  async function pollList(stream: AbortController): Promise<void> {
    while (!stream.signal.aborted) {
      await sleep(LIST_INTERVAL_MS, stream.signal);
      if (stream.signal.aborted) return;
      try {
        await refreshList(stream.signal);
      } catch (error) {
        if (!stream.signal.aborted) stream.abort(error);
      }
    }
  }

  function handleUpdate(message: WatchPanelsResponse): void {
    const { id, panel, value, staleReason, staleSince } = message;
    if (id === ANY_EVENTS) {
      if (value.case === "errorRate") recordEvents(value.value.points.some((point) => point.events > 0n));
      return;
    }
    dispatchIfActive({
      type: "panelUpdated",
      panel: id || panel,
      value: value.case ? value : undefined,
      staleReason,
      staleSince: staleSince ? Number(staleSince.seconds) * 1000 : undefined,
      at: Date.now(),
    });
  }

  /** Runs one stream until it ends, which is always a failure. Calls `onOpen` on the first message. */
  async function runStream(control: AbortController, onOpen: () => void): Promise<never> {
    // If the check for events fails, the stream subscribes to ANY_EVENTS.
    await Promise.all([refreshList(control.signal), checkForEvents(control.signal).catch(() => {})]);
    const queries: WatchQuery[] = names.map((name) => ({ id: name, panel: name, ...params }));
    if (!hasEvents) queries.push({ id: ANY_EVENTS, panel: "error_rate", zone: params.zone, range: "7d" });
    void pollList(control);
    let open = false;
    for await (const message of watchPanels(client, queries, control.signal)) {
      if (!open) {
        open = true;
        onOpen();
        attempt = 0;
        stopPolling();
        dispatchIfActive({ type: "streamOpened", at: Date.now() });
      }
      handleUpdate(message);
    }
    throw new Error("the server ended the stream");
  }

  async function run(): Promise<void> {
    dispatchIfActive({ type: "panelsRequested", panels: names, at: Date.now() });
    while (!lifetime.signal.aborted) {
      const control = new AbortController();
      const abort = () => control.abort();
      lifetime.signal.addEventListener("abort", abort);
      const firstMessageTimer = setTimeout(startPolling, FIRST_MESSAGE_TIMEOUT_MS);
      let failure: unknown;
      try {
        await runStream(control, () => clearTimeout(firstMessageTimer));
      } catch (error) {
        // An aborted stream throws an abort error. The abort reason is the actual failure.
        failure = control.signal.aborted ? control.signal.reason : error;
      }
      clearTimeout(firstMessageTimer);
      lifetime.signal.removeEventListener("abort", abort);
      control.abort();
      if (lifetime.signal.aborted) return;
      if (failure instanceof PanelListChanged) continue;
      dispatchIfActive({ type: "streamFailed", reason: describeError(failure).reason, at: Date.now() });
      startPolling();
      attempt += 1;
      backoff = new AbortController();
      await sleep(backoffDelayMs(attempt), backoff.signal);
    }
  }

  void run();
  return {
    retry: () => {
      for (const name of names) void refreshPanel(name, lifetime.signal);
      backoff.abort();
    },
    stop: () => {
      lifetime.abort();
      backoff.abort();
      stopPolling();
    },
  };
}
