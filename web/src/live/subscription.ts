// The owner of the live stream. It watches all panels over one stream; when that breaks it comes back with growing
// pauses and polls meanwhile, so that the values keep moving. It tells what happened and holds no state of the page.

import type { DashboardClient } from "../api/client.tsx";
import { describeError } from "../api/describeError.ts";
import { fetchPanel } from "../api/fetchPanel.ts";
import { listPanels } from "../api/listPanels.ts";
import type { QueryParams } from "../api/queryParams.ts";
import { type WatchQuery, watchPanels } from "../api/watchPanels.ts";
import type { ListPanelsResponse, WatchPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { backoffMs } from "../lib/backoff.ts";
import { sleep } from "../lib/sleep.ts";
import { BUILT_IN_PANELS } from "./builtInPanels.ts";
import type { LiveAction } from "./state.ts";

export const POLL_EVERY_MS = 5_000;
export const LIST_EVERY_MS = 10_000;
/** A stream that brings nothing for so long after it was asked for is helped out by polling. */
const PATIENCE_MS = 5_000;

/** The query that tells of the first event ever; only watched while there is none. */
const ANY_EVENTS = "any_events";

export interface PanelSubscription {
  /** Asks every panel, and tries the stream again, now. */
  retry: () => void;
  stop: () => void;
}

/** What a stream is ended for when other panels are to be watched: no failure. */
class PanelsChanged extends Error {}

const sameNames = (a: ListPanelsResponse, b: ListPanelsResponse): boolean =>
  a.panels.map((panel) => panel.name).join() === b.panels.map((panel) => panel.name).join();

export function subscribeToPanels(
  client: DashboardClient,
  question: QueryParams,
  tell: (what: LiveAction) => void,
): PanelSubscription {
  const whole = new AbortController();
  let names: string[] = [...BUILT_IN_PANELS];
  let list: ListPanelsResponse | undefined;
  let hasEvents: boolean | undefined;
  let poller: AbortController | undefined;
  let pause = new AbortController();
  let attempt = 0;

  const say = (what: LiveAction) => {
    if (!whole.signal.aborted) tell(what);
  };

  /** What a call has found out, told unless the session is over. */
  async function ask(panel: string, signal: AbortSignal): Promise<void> {
    try {
      const value = await fetchPanel(client, panel, question, signal);
      if (!signal.aborted) say({ type: "answered", panel, value, at: Date.now() });
    } catch (error) {
      if (!signal.aborted) say({ type: "unanswered", panel, ...describeError(error), at: Date.now() });
    }
  }

  async function askForEvents(signal: AbortSignal): Promise<void> {
    if (hasEvents) return;
    const answer = await fetchPanel(client, "error_rate", { ...question, range: "7d" }, signal);
    noteEvents(answer.case === "errorRate" && answer.value.points.some((point) => point.events > 0n));
  }

  function noteEvents(any: boolean): void {
    hasEvents = any || hasEvents === true;
    say({ type: "events", any: hasEvents });
  }

  async function poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const panels = names.map((name) => ask(name, signal));
      // Of no matter here when it fails: the panels' own answers say what is wrong.
      await Promise.all([...panels, askForEvents(signal).catch(() => {})]);
      await sleep(POLL_EVERY_MS, signal);
    }
  }

  function startPolling(): void {
    if (poller || whole.signal.aborted) return;
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
    say({ type: "listed", list: next, at: Date.now() });
    if (changed) throw new PanelsChanged();
  }

  /**
   * Lists the panels again and again beside a stream. It notices panels that came and went, and also a connection that
   * is dead without having been closed, which the stream alone would wait on for ever.
   */
  async function keepListing(stream: AbortController): Promise<void> {
    while (!stream.signal.aborted) {
      await sleep(LIST_EVERY_MS, stream.signal);
      if (stream.signal.aborted) return;
      try {
        await refreshList(stream.signal);
      } catch (error) {
        if (!stream.signal.aborted) stream.abort(error);
      }
    }
  }

  function take(message: WatchPanelsResponse): void {
    const { id, panel, value, staleReason, staleSince } = message;
    if (id === ANY_EVENTS) {
      if (value.case === "errorRate") noteEvents(value.value.points.some((point) => point.events > 0n));
      return;
    }
    say({
      type: "answered",
      panel: id || panel,
      value: value.case ? value : undefined,
      staleReason,
      staleSince: staleSince ? Number(staleSince.seconds) * 1000 : undefined,
      at: Date.now(),
    });
  }

  /** One stream, until it ends, which is always a failure: it has no end of its own. `opened` is called once. */
  async function stream(control: AbortController, opened: () => void): Promise<never> {
    // Where it is not known whether there are events, the stream is going to tell.
    await Promise.all([refreshList(control.signal), askForEvents(control.signal).catch(() => {})]);
    const queries: WatchQuery[] = names.map((name) => ({ id: name, panel: name, ...question }));
    if (!hasEvents) queries.push({ id: ANY_EVENTS, panel: "error_rate", zone: question.zone, range: "7d" });
    void keepListing(control);
    let open = false;
    for await (const message of watchPanels(client, queries, control.signal)) {
      if (!open) {
        open = true;
        opened();
        attempt = 0;
        stopPolling();
        say({ type: "opened", at: Date.now() });
      }
      take(message);
    }
    throw new Error("the server ended the stream");
  }

  async function run(): Promise<void> {
    say({ type: "asked", panels: names, at: Date.now() });
    while (!whole.signal.aborted) {
      const control = new AbortController();
      const end = () => control.abort();
      whole.signal.addEventListener("abort", end);
      const patience = setTimeout(startPolling, PATIENCE_MS);
      let failure: unknown;
      try {
        await stream(control, () => clearTimeout(patience));
      } catch (error) {
        // A stream that was aborted fails for that; what it was aborted for is the reason.
        failure = control.signal.aborted ? control.signal.reason : error;
      }
      clearTimeout(patience);
      whole.signal.removeEventListener("abort", end);
      control.abort();
      if (whole.signal.aborted) return;
      if (failure instanceof PanelsChanged) continue;
      say({ type: "broken", reason: describeError(failure).reason, at: Date.now() });
      startPolling();
      attempt += 1;
      pause = new AbortController();
      await sleep(backoffMs(attempt), pause.signal);
    }
  }

  void run();
  return {
    retry: () => {
      for (const name of names) void ask(name, whole.signal);
      pause.abort();
    },
    stop: () => {
      whole.abort();
      pause.abort();
      stopPolling();
    },
  };
}
