// The light of the header: what the panels' phases come to.

import type { LiveState, PanelLive, Phase } from "./state.ts";

export type Light = "green" | "yellow" | "red";

/** Panels that are not as they should be, all for one reason and since one instant. */
export interface Trouble {
  panels: string[];
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

/** Told together where they have begun in the same second: a server that has gone is one trouble, not eight. */
function troublesOf(panels: [string, PanelLive][]): Trouble[] {
  const troubles = new Map<string, Trouble>();
  for (const [name, { phase, since, reason = "no answer" }] of panels) {
    if (phase !== "failed" && phase !== "stale") continue;
    const key = `${phase} ${Math.floor(since / 1000)} ${reason}`;
    const trouble = troubles.get(key) ?? { panels: [], phase, reason, since };
    trouble.panels.push(name);
    troubles.set(key, trouble);
  }
  return [...troubles.values()];
}

export function connectionOf(state: LiveState): Connection {
  const panels = Object.entries(state.panels);
  const troubles = troublesOf(panels);
  const failed = panels.filter(([, panel]) => panel.phase === "failed");
  const late = panels.filter(([, panel]) => panel.phase === "stale");
  const pollingSince = state.stream.phase === "broken" ? state.stream.since : undefined;

  if (failed.length > 0) {
    const all = failed.length === panels.length;
    const summary = all ? "Server unreachable" : `${failed.length} of ${panels.length} panels unreachable`;
    return { light: "red", summary, troubles, pollingSince };
  }
  if (late.length > 0) {
    return { light: "yellow", summary: `${late.length} of ${panels.length} panels late`, troubles, pollingSince };
  }
  // With figures of an earlier question on the page, a new one is answered before anybody could read "connecting".
  const waiting = panels.length === 0 || panels.some(([, panel]) => panel.phase === "connecting" && !panel.value);
  if (waiting) return { light: "yellow", summary: "Connecting", troubles, pollingSince };
  return { light: "green", summary: pollingSince ? "Polling" : "Live", troubles, pollingSince };
}
