import { expect, test } from "vitest";
import { toTimestamp } from "../../api/messages.ts";
import { countsByDay } from "./days.ts";

test("days without events are zero, and those before the span do not count", () => {
  const now = Date.UTC(2026, 10, 21, 15);
  const day = (date: number, events: bigint) => ({ start: toTimestamp(Date.UTC(2026, 10, date)), events });
  expect(countsByDay([day(2, 99n), day(18, 5n), day(21, 7n)] as never, now, 5)).toEqual([0, 5, 0, 0, 7]);
});
