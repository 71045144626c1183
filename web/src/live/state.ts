// State of every panel and of the live stream. A pure reducer: the subscription dispatches actions with timestamps.

import type { PanelValue } from "../api/value.ts";
import type { ListPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";

/**
 * `connecting`: requested, no response yet. `live`: the value is current. `stale`: the response is late or the value is
 * old. `failed`: the request failed.
 */
export type PanelPhase = "connecting" | "live" | "stale" | "failed";

export interface PanelState {
  phase: PanelPhase;
  /** When this phase began. */
  since: number;
  /** Why the panel is stale or failed. */
  reason?: string;
  /** The last value received. */
  value?: PanelValue;
  /** The value belongs to previous query parameters, such as another range. It is shown faded until the new one arrives. */
  outdated: boolean;
}

/** While the stream is `reconnecting`, the panels are polled. */
export type StreamPhase = "connecting" | "open" | "reconnecting";

export interface LiveState {
  stream: { phase: StreamPhase; since: number; reason?: string };
  panels: Record<string, PanelState>;
  list?: ListPanelsResponse;
  /** Whether the server has had any event in the last week. Undefined until the first response. */
  hasEvents?: boolean;
}

export type LiveAction =
  | { type: "panelsRequested"; panels: string[]; at: number }
  | { type: "panelsListed"; list: ListPanelsResponse; at: number }
  | { type: "streamOpened"; at: number }
  | { type: "streamFailed"; reason: string; at: number }
  | { type: "panelUpdated"; panel: string; value?: PanelValue; staleReason?: string; staleSince?: number; at: number }
  | { type: "panelFailed"; panel: string; reason: string; timedOut: boolean; at: number }
  | { type: "eventsChecked"; any: boolean }
  | { type: "tick"; at: number };

/** A panel without a response for this long after its request is shown as slow. */
export const SLOW_AFTER_MS = 4_000;

export const initialState = (at: number): LiveState => ({ stream: { phase: "connecting", since: at }, panels: {} });

/** `since` changes only when the phase changes. */
function withPhase(before: PanelState | undefined, phase: PanelPhase, at: number, reason?: string): PanelState {
  const since = before?.phase === phase ? before.since : at;
  return { phase, since, reason, value: before?.value, outdated: before?.outdated ?? false };
}

function withPanel(state: LiveState, panel: string, next: PanelState): LiveState {
  return { ...state, panels: { ...state.panels, [panel]: next } };
}

/** The error rate counts all events of its range, active users those of the last minutes. */
function showsEvents(value: PanelValue | undefined): boolean {
  if (value?.case === "errorRate") return value.value.points.some((point) => point.events > 0n);
  if (value?.case === "activeUsers") return value.value.activeUsers > 0n;
  return false;
}

export function liveReducer(state: LiveState, action: LiveAction): LiveState {
  switch (action.type) {
    case "panelsRequested": {
      const panels = { ...state.panels };
      for (const name of action.panels) {
        const before = panels[name];
        panels[name] = { phase: "connecting", since: action.at, value: before?.value, outdated: true };
      }
      return { ...state, panels };
    }
    case "panelsListed": {
      const names = action.list.panels.map((panel) => panel.name);
      const panels: LiveState["panels"] = {};
      for (const name of names) {
        panels[name] = state.panels[name] ?? { phase: "connecting", since: action.at, outdated: false };
      }
      return { ...state, list: action.list, panels };
    }
    case "streamOpened":
      return { ...state, stream: { phase: "open", since: action.at } };
    case "streamFailed": {
      // Failed attempts to reconnect do not move the start of the interruption.
      const since = state.stream.phase === "reconnecting" ? state.stream.since : action.at;
      return { ...state, stream: { phase: "reconnecting", since, reason: action.reason } };
    }
    case "panelUpdated": {
      const { panel, value, staleReason, at } = action;
      const before = state.panels[panel];
      const next = withPhase(before, staleReason ? "stale" : "live", at, staleReason);
      if (value) Object.assign(next, { value, outdated: false });
      // Neither a value nor a reason: the server has no value yet.
      else if (!staleReason) return state;
      if (staleReason && action.staleSince) next.since = action.staleSince;
      const hasEvents = showsEvents(value) || state.hasEvents;
      return withPanel({ ...state, hasEvents }, panel, next);
    }
    case "panelFailed": {
      const { panel, reason, timedOut, at } = action;
      return withPanel(state, panel, withPhase(state.panels[panel], timedOut ? "stale" : "failed", at, reason));
    }
    case "eventsChecked":
      return { ...state, hasEvents: action.any || state.hasEvents === true };
    case "tick":
      return markSlowPanels(state, action.at);
  }
}

/** Returns the same object when no panel is slow, so that a tick does not render the page. */
function markSlowPanels(state: LiveState, at: number): LiveState {
  const slow = Object.entries(state.panels).filter(
    ([, panel]) => panel.phase === "connecting" && at - panel.since >= SLOW_AFTER_MS,
  );
  if (slow.length === 0) return state;
  const panels = { ...state.panels };
  for (const [name, panel] of slow) {
    panels[name] = { ...panel, phase: "stale", reason: "no response yet" };
  }
  return { ...state, panels };
}
