// The status indicator in the header, derived from the phases of the panels.

import type { LiveState, PanelPhase, PanelState } from "./state.ts";

export type StatusColor = "green" | "yellow" | "red";

/** Panels that became stale or failed in the same second for the same reason. */
export interface PanelProblem {
  panels: string[];
  phase: PanelPhase;
  reason: string;
  since: number;
}

export interface ConnectionStatus {
  color: StatusColor;
  /** The status in words. */
  summary: string;
  problems: PanelProblem[];
  /** Set while the stream is interrupted and the panels are polled. */
  pollingSince?: number;
}

/** Groups panels by reason and second: an unreachable server is one problem, not eight. */
function groupProblems(panels: [string, PanelState][]): PanelProblem[] {
  const problems = new Map<string, PanelProblem>();
  for (const [name, { phase, since, reason = "no response" }] of panels) {
    if (phase !== "failed" && phase !== "stale") continue;
    const key = `${phase} ${Math.floor(since / 1000)} ${reason}`;
    const problem = problems.get(key) ?? { panels: [], phase, reason, since };
    problem.panels.push(name);
    problems.set(key, problem);
  }
  return [...problems.values()];
}

export function connectionStatus(state: LiveState): ConnectionStatus {
  const panels = Object.entries(state.panels);
  const problems = groupProblems(panels);
  const failed = panels.filter(([, panel]) => panel.phase === "failed");
  const stale = panels.filter(([, panel]) => panel.phase === "stale");
  const pollingSince = state.stream.phase === "reconnecting" ? state.stream.since : undefined;

  if (failed.length > 0) {
    const all = failed.length === panels.length;
    const summary = all ? "Server unreachable" : `${failed.length} of ${panels.length} panels unreachable`;
    return { color: "red", summary, problems, pollingSince };
  }
  if (stale.length > 0) {
    return { color: "yellow", summary: `${stale.length} of ${panels.length} panels delayed`, problems, pollingSince };
  }
  // A panel that shows its previous value does not count: the new one arrives before anyone could read "Connecting".
  const connecting = panels.length === 0 || panels.some(([, panel]) => panel.phase === "connecting" && !panel.value);
  if (connecting) return { color: "yellow", summary: "Connecting", problems, pollingSince };
  return { color: "green", summary: pollingSince ? "Polling" : "Live", problems, pollingSince };
}
