// The colour of the frame around a wall: what is wrong is seen from across the room, and said in words below.

import type { Frame } from "../../frame/frame.ts";
import type { ConnectionPhase } from "../../live/protocol.ts";

export type Tone = "warn" | "danger";

/** Whether the lead figure is above the panel's threshold. */
export function isOverThreshold(frame: Frame | undefined): boolean {
  const value = frame?.figures[0]?.value;
  if (!frame || frame.threshold === null) return false;
  return (typeof value === "number" || typeof value === "bigint") && value > frame.threshold;
}

/**
 * Red if a figure is over its threshold, amber if the figures are not current. Old figures raise no alarm: amber then says
 * that nobody knows.
 */
export function toneOf(phase: ConnectionPhase, affectedPanels: number, panelsOver: number): Tone | undefined {
  if (phase === "stale" || phase === "offline" || phase === "denied") return "warn";
  if (panelsOver > 0) return "danger";
  return affectedPanels > 0 ? "warn" : undefined;
}
