// Events per second of each source, from successive readings of its counter.

import type { Source } from "../../api/messages.ts";

/** What was read at a time. */
export interface Reading {
  /** Unix milliseconds. */
  at: number;
  accepted: Map<string, bigint>;
}

const WINDOW_MS = 60_000;

type Named = Pick<Source, "source" | "keyId" | "library">;
type Counted = Named & Pick<Source, "accepted">;

export const sourceId = ({ source, keyId, library }: Named): string => JSON.stringify([source, keyId, library]);

/** The readings of the last minute. A restarted server counts from zero. */
export function addReading(readings: Reading[], sources: Counted[], at: number): Reading[] {
  const accepted = new Map(sources.map((source) => [sourceId(source), source.accepted]));
  const last = readings.at(-1);
  const restarted = last && [...last.accepted].some(([id, count]) => (accepted.get(id) ?? 0n) < count);
  const kept = restarted ? [] : readings.filter((reading) => reading.at >= at - WINDOW_MS);
  return [...kept, { at, accepted }];
}

/** Over the readings; undefined before the second one. */
export function rateOf(readings: Reading[], source: Named): number | undefined {
  const [first, last] = [readings[0], readings.at(-1)];
  if (!first || !last || last.at <= first.at) return undefined;
  const id = sourceId(source);
  const events = Number((last.accepted.get(id) ?? 0n) - (first.accepted.get(id) ?? 0n));
  return (events * 1_000) / (last.at - first.at);
}
