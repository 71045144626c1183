// The events of a person as rows: sessions with their events, and the time between them. Newest first.

import type { LiveEvent } from "../live/events.ts";

/** As on the server: a session ends after so long without an event. */
export const SESSION_GAP_MS = 30 * 60_000;

export interface Session {
  start: number;
  end: number;
  events: number;
  device: string;
  country: string;
  firstPage: string;
}

export interface SessionRow {
  kind: "session";
  key: string;
  start: number;
  end: number;
  events: number;
  /** Whether there may be more events than the number says. */
  atLeast: boolean;
  faults: number;
  device: string;
  country: string;
  page: string;
}

export type TimelineRow =
  | SessionRow
  | { kind: "event"; key: string; event: LiveEvent }
  | { kind: "gap"; key: string; ms: number };

/** `events` and `sessions` are the loaded ones, the newest first. `complete`: there are no further events. */
export function timelineRows(
  events: LiveEvent[],
  sessions: Session[],
  complete: boolean,
  isFault: (name: string) => boolean,
): TimelineRow[] {
  const rows: TimelineRow[] = [];
  let header: SessionRow | undefined;
  let known: Session | undefined;
  let previous: LiveEvent | undefined;
  for (const event of events) {
    const silence = previous ? previous.at - event.at : 0;
    if (!header || silence > SESSION_GAP_MS) {
      if (previous) rows.push({ kind: "gap", key: `gap ${event.id}`, ms: silence });
      known = sessions.find(({ start, end }) => start <= event.at && event.at <= end);
      header = {
        kind: "session",
        key: `session ${known ? known.start : event.id}`,
        start: known?.start ?? event.at,
        end: known?.end ?? event.at,
        events: known?.events ?? 0,
        atLeast: false,
        faults: 0,
        device: known?.device || event.device,
        country: known?.country || event.country,
        page: known?.firstPage ?? "",
      };
      rows.push(header);
    }
    if (!known) {
      header.start = event.at;
      header.events += 1;
    }
    if (isFault(event.name)) header.faults += 1;
    rows.push({ kind: "event", key: event.id || `${event.at} ${rows.length}`, event });
    previous = event;
  }
  if (header && !known && !complete) header.atLeast = true;
  return rows;
}

export interface Day {
  /** Midnight. */
  start: number;
  events: number;
}

export const STRIP_DAYS = 30;

/** Events by day, the oldest first. A session counts on the day on which it began. */
export function dayStrip(sessions: Session[], starts: number[]): Day[] {
  const days = starts.map((start): Day => ({ start, events: 0 }));
  for (const session of sessions) {
    const day = days.findLast(({ start }) => start <= session.start);
    if (day) day.events += session.events;
  }
  return days;
}
