// The connection in a dot and in words.

import { clockOrInstant } from "../lib/time.ts";
import type { ConnectionPhase, ConnectionState } from "../live/protocol.ts";
import { ageText, strings } from "../strings.ts";

/** Colour and shape, so that the status does not depend on colour alone. */
const DOTS: Record<ConnectionPhase, string> = {
  connecting: "rounded-full border-2 border-muted",
  live: "rounded-full bg-good",
  polling: "rotate-45 rounded-[2px] bg-warn",
  stale: "rotate-45 rounded-[2px] bg-warn",
  offline: "rounded-[2px] bg-danger",
  denied: "rounded-[2px] bg-danger",
};

export const StatusDot = ({ phase }: { phase: ConnectionPhase }) => (
  <span aria-hidden="true" className={`inline-block size-2.5 flex-none ${DOTS[phase]}`} />
);

/** How old the figures are, by the server's clock. Null before the first message. */
export function ageMs({ lastHeardAt, clockOffsetMs }: ConnectionState, now: number): number | null {
  return lastHeardAt === undefined ? null : Math.max(0, now + clockOffsetMs - lastHeardAt);
}

/** The status in words, for example "No response for 14 s, figures as of 11:22:36". */
export function statusText(state: ConnectionState, delayed: number, zone: string, now: number): string {
  const { phase, lastHeardAt } = state;
  const word = strings.connection[phase];
  if (phase === "live" && delayed > 0) return strings.delayedPanels(delayed);
  if (lastHeardAt === undefined || phase === "live" || phase === "connecting" || phase === "polling") return word;
  const age = ageMs(state, now) ?? 0;
  const start = phase === "stale" ? strings.noResponseFor(ageText(age)) : word;
  return `${start}, ${strings.figuresAsOf(clockOrInstant(lastHeardAt, zone, now + state.clockOffsetMs, true))}`;
}
