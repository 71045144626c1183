import { expect, test } from "vitest";
import { boundsOf, PRESETS, type Range } from "../../query/range.ts";
import { stepped } from "./step.ts";

const MADRID = "Europe/Madrid";
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Sat 21 November 2026, 11:00 in Madrid. */
const NOW = Date.UTC(2026, 10, 21, 10);
const iso = (range: Range | undefined) =>
  typeof range === "object"
    ? [range.from, range.to].map((at) => (at === undefined ? "now" : new Date(at).toISOString().slice(0, 16)))
    : range;
const back = (range: Range) => stepped(range, MADRID, NOW, -1);
const forward = (range: Range) => stepped(range, MADRID, NOW, 1);

test("a range steps back by its length, and calendar ranges by whole days, weeks and months", () => {
  expect(iso(back("1h"))).toEqual(["2026-11-21T08:00", "2026-11-21T09:00"]);
  expect(iso(back("today"))).toEqual(["2026-11-19T23:00", "2026-11-20T23:00"]);
  expect(iso(back("yesterday"))).toEqual(["2026-11-18T23:00", "2026-11-19T23:00"]);
  expect(iso(back("this-week"))).toEqual(["2026-11-08T23:00", "2026-11-15T23:00"]);
  // The clock was set back in October.
  expect(iso(back("this-month"))).toEqual(["2026-09-30T22:00", "2026-10-31T23:00"]);
  const october = back("this-month") as Range;
  expect(iso(back(october))).toEqual(["2026-08-31T22:00", "2026-09-30T22:00"]);
});

test("every range returns from its step back", () => {
  for (const range of PRESETS) {
    const before = back(range) as Range;
    expect(before, range).toBeDefined();
    const again = forward(before);
    if (range === "yesterday") expect(iso(again)).toEqual(iso(boundsOf("yesterday", MADRID, NOW)));
    else expect(again, range).toBe(range);
  }
  const interval = { from: NOW - 10 * DAY, to: NOW - 9 * DAY - 3 * HOUR };
  expect(forward(back(interval) as Range)).toEqual(interval);
});

test("days keep their midnights when the clock changes", () => {
  // Sat 24 and Sun 25 October, which has 25 hours.
  const weekend = { from: Date.UTC(2026, 9, 23, 22), to: Date.UTC(2026, 9, 25, 23) };
  expect(iso(forward(weekend))).toEqual(["2026-10-25T23:00", "2026-10-27T23:00"]);
  expect(forward(back(weekend) as Range)).toEqual(weekend);
});

test("nothing is after now, nor before what is stored", () => {
  for (const range of PRESETS) if (range !== "yesterday") expect(forward(range)).toBeUndefined();
  expect(forward("yesterday")).toBe("today");
  expect(forward({ from: NOW - HOUR })).toBeUndefined();
  expect(stepped("1h", MADRID, NOW, -1, NOW - HOUR)).toBeUndefined();
  expect(stepped("1h", MADRID, NOW, -1, NOW - HOUR - 1)).toBeDefined();
  expect(iso(forward({ from: NOW - 5 * HOUR, to: NOW - 2 * HOUR }))).toEqual(["2026-11-21T08:00", "now"]);
});
