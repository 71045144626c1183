// What is known of every panel, and how the connection is. A pure reducer: the session tells what happened and when.

import type { PanelValue } from "../api/value.ts";
import type { ListPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";

/** How a panel is: asked and not answered yet; answering; answering late or with an old value; not answering. */
export type PanelPhase = "connecting" | "live" | "stale" | "failed";

export interface PanelState {
  phase: PanelPhase;
  /** Since when it is in this phase. */
  since: number;
  /** Why it is stale or failed. */
  reason?: string;
  /** The last value there was. */
  value?: PanelValue;
  /** Whether that value answers an earlier question, such as another range: shown faded until its own comes. */
  outdated: boolean;
}

/** The stream: being opened; bringing updates; or broken, with the panels polled meanwhile. */
export type StreamPhase = "connecting" | "open" | "broken";

export interface LiveState {
  stream: { phase: StreamPhase; since: number; reason?: string };
  panels: Record<string, PanelState>;
  list?: ListPanelsResponse;
  /** Whether any event has ever come within a week; not known before the first answer. */
  hasEvents?: boolean;
}

export type LiveAction =
  | { type: "asked"; panels: string[]; at: number }
  | { type: "listed"; list: ListPanelsResponse; at: number }
  | { type: "opened"; at: number }
  | { type: "broken"; reason: string; at: number }
  | { type: "answered"; panel: string; value?: PanelValue; staleReason?: string; staleSince?: number; at: number }
  | { type: "unanswered"; panel: string; reason: string; slow: boolean; at: number }
  | { type: "events"; any: boolean }
  | { type: "tick"; at: number };

/** A panel that has not answered for so long after it was asked is called slow. */
export const SLOW_AFTER_MS = 4_000;

export const initialState = (at: number): LiveState => ({ stream: { phase: "connecting", since: at }, panels: {} });

/** Keeps the instant at which a phase began for as long as it lasts. */
function phased(before: PanelState | undefined, phase: PanelPhase, at: number, reason?: string): PanelState {
  const since = before?.phase === phase ? before.since : at;
  return { phase, since, reason, value: before?.value, outdated: before?.outdated ?? false };
}

function withPanel(state: LiveState, panel: string, next: PanelState): LiveState {
  return { ...state, panels: { ...state.panels, [panel]: next } };
}

/** Any event there is shows in some value of the typed panels. */
function showsEvents(value: PanelValue | undefined): boolean {
  if (value?.case === "errorRate") return value.value.points.some((point) => point.events > 0n);
  if (value?.case === "activeUsers") return value.value.activeUsers > 0n;
  return false;
}

export function liveReducer(state: LiveState, action: LiveAction): LiveState {
  switch (action.type) {
    case "asked": {
      const panels = { ...state.panels };
      for (const name of action.panels) {
        const before = panels[name];
        panels[name] = { phase: "connecting", since: action.at, value: before?.value, outdated: true };
      }
      return { ...state, panels };
    }
    case "listed": {
      const names = action.list.panels.map((panel) => panel.name);
      const panels: LiveState["panels"] = {};
      for (const name of names) {
        panels[name] = state.panels[name] ?? { phase: "connecting", since: action.at, outdated: false };
      }
      return { ...state, list: action.list, panels };
    }
    case "opened":
      return { ...state, stream: { phase: "open", since: action.at } };
    case "broken": {
      // The instant of the break stays through all attempts to reconnect.
      const since = state.stream.phase === "broken" ? state.stream.since : action.at;
      return { ...state, stream: { phase: "broken", since, reason: action.reason } };
    }
    case "answered": {
      const { panel, value, staleReason, at } = action;
      const before = state.panels[panel];
      const next = phased(before, staleReason ? "stale" : "live", at, staleReason);
      if (value) Object.assign(next, { value, outdated: false });
      // An answer without a value and without a reason only says that there is none yet.
      else if (!staleReason) return state;
      if (staleReason && action.staleSince) next.since = action.staleSince;
      const hasEvents = showsEvents(value) || state.hasEvents;
      return withPanel({ ...state, hasEvents }, panel, next);
    }
    case "unanswered": {
      const { panel, reason, slow, at } = action;
      return withPanel(state, panel, phased(state.panels[panel], slow ? "stale" : "failed", at, reason));
    }
    case "events":
      return { ...state, hasEvents: action.any || state.hasEvents === true };
    case "tick":
      return slowed(state, action.at);
  }
}

/** Calls slow what has been asked for long. The same state when nothing has. */
function slowed(state: LiveState, at: number): LiveState {
  const slow = Object.entries(state.panels).filter(
    ([, panel]) => panel.phase === "connecting" && at - panel.since >= SLOW_AFTER_MS,
  );
  if (slow.length === 0) return state;
  const panels = { ...state.panels };
  for (const [name, panel] of slow) {
    panels[name] = { ...panel, phase: "stale", reason: "no answer yet" };
  }
  return { ...state, panels };
}
