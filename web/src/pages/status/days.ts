// Counts by day (UTC) without gaps, for a line.

import { type EventName, timestampMs } from "../../api/messages.ts";
import { DAY } from "../../lib/time.ts";

/** The last `length` days, today included. */
export function countsByDay(days: EventName["days"], now: number, length: number): number[] {
  const today = Math.floor(now / DAY);
  const counts = Array<number>(length).fill(0);
  for (const { start, events } of days) {
    const index = start ? Math.floor(timestampMs(start) / DAY) - today + length - 1 : -1;
    if (counts[index] !== undefined) counts[index] += Number(events);
  }
  return counts;
}
