// The light of the header: what the panels' phases come to.

import type { LiveState, PanelPhase, PanelState } from "./state.ts";

export type StatusColor = "green" | "yellow" | "red";

/** Panels that are not as they should be, all for one reason and since one instant. */
export interface PanelProblem {
  panels: string[];
  phase: PanelPhase;
  reason: string;
  since: number;
}

export interface ConnectionStatus {
  color: StatusColor;
  /** What the light means, in words. */
  summary: string;
  problems: PanelProblem[];
  /** Since when the stream is broken and the panels are polled. */
  pollingSince?: number;
}

/** Told together where they have begun in the same second: a server that has gone is one problem, not eight. */
function collectProblems(panels: [string, PanelState][]): PanelProblem[] {
  const problems = new Map<string, PanelProblem>();
  for (const [name, { phase, since, reason = "no answer" }] of panels) {
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
  const problems = collectProblems(panels);
  const failed = panels.filter(([, panel]) => panel.phase === "failed");
  const late = panels.filter(([, panel]) => panel.phase === "stale");
  const pollingSince = state.stream.phase === "broken" ? state.stream.since : undefined;

  if (failed.length > 0) {
    const all = failed.length === panels.length;
    const summary = all ? "Server unreachable" : `${failed.length} of ${panels.length} panels unreachable`;
    return { color: "red", summary, problems, pollingSince };
  }
  if (late.length > 0) {
    return { color: "yellow", summary: `${late.length} of ${panels.length} panels late`, problems, pollingSince };
  }
  // With values of an earlier question on the page, a new one is answered before anybody could read "connecting".
  const waiting = panels.length === 0 || panels.some(([, panel]) => panel.phase === "connecting" && !panel.value);
  if (waiting) return { color: "yellow", summary: "Connecting", problems, pollingSince };
  return { color: "green", summary: pollingSince ? "Polling" : "Live", problems, pollingSince };
}
