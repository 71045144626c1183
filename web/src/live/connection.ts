// The light of the header: what the panels' phases come to.

import type { LiveState, Phase } from "./state.ts";

export type Light = "green" | "yellow" | "red";

/** A panel that is not as it should be. */
export interface Trouble {
  panel: string;
  phase: Phase;
  reason: string;
  since: number;
}

export interface Connection {
  light: Light;
  /** What the light means, in words. */
  summary: string;
  troubles: Trouble[];
  /** Since when the stream is broken and the panels are polled. */
  pollingSince?: number;
}

export function connectionOf(state: LiveState): Connection {
  const panels = Object.entries(state.panels);
  const troubles = panels
    .filter(([, panel]) => panel.phase === "failed" || panel.phase === "stale")
    .map(([name, panel]) => ({
      panel: name,
      phase: panel.phase,
      reason: panel.reason ?? "no answer",
      since: panel.since,
    }));
  const failed = troubles.filter((trouble) => trouble.phase === "failed");
  const pollingSince = state.stream.phase === "broken" ? state.stream.since : undefined;

  if (failed.length > 0) {
    const all = failed.length === panels.length;
    const summary = all ? "Server unreachable" : `${failed.length} of ${panels.length} panels unreachable`;
    return { light: "red", summary, troubles, pollingSince };
  }
  if (troubles.length > 0) {
    return { light: "yellow", summary: `${troubles.length} of ${panels.length} panels late`, troubles, pollingSince };
  }
  const waiting = panels.length === 0 || panels.some(([, panel]) => panel.phase === "connecting");
  if (waiting) return { light: "yellow", summary: "Connecting", troubles, pollingSince };
  return { light: "green", summary: pollingSince ? "Polling" : "Live", troubles, pollingSince };
}
