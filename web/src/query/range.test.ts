import { expect, test } from "vitest";
import { panelQuery, queryKey } from "./query.ts";
import {
  boundsOf,
  isPast,
  isValidInterval,
  PRESETS,
  rangeFileName,
  rangeLabel,
  rangeTitle,
  rangeWords,
} from "./range.ts";

const MADRID = "Europe/Madrid";
/** Sat 21 November 2026, 11:00 in Madrid. */
const NOW = Date.UTC(2026, 10, 21, 10);
const HOUR = 3_600_000;

test("ranges have names", () => {
  expect(rangeLabel("30d", MADRID, NOW)).toBe("last 30 days");
  expect(rangeTitle("this-week", MADRID, NOW)).toBe("This week");
  expect(["90d", "yesterday"].map((range) => rangeWords(range as "90d", MADRID, NOW))).toEqual([
    "the last 90 days",
    "yesterday",
  ]);
  const days = { from: Date.UTC(2026, 9, 31, 23), to: Date.UTC(2026, 10, 2, 23) };
  expect(rangeLabel(days, MADRID, NOW)).toBe("Sun 1 Nov – Mon 2 Nov");
  expect(rangeTitle({ from: NOW - HOUR }, MADRID, NOW)).toBe("10:00–11:00");
  expect(rangeFileName("90d", MADRID)).toBe("90d");
  expect(rangeFileName(days, MADRID)).toBe("2026-11-01T0000-2026-11-03T0000");
  expect(rangeFileName({ from: days.from }, MADRID)).toBe("2026-11-01T0000-now");
});

test("calendar ranges begin at midnight of the zone, weeks on Monday", () => {
  const from = (range: (typeof PRESETS)[number], now = NOW) =>
    new Date(boundsOf(range, MADRID, now).from).toISOString();
  expect(from("today")).toBe("2026-11-20T23:00:00.000Z");
  expect(boundsOf("yesterday", MADRID, NOW).to).toBe(boundsOf("today", MADRID, NOW).from);
  expect(from("this-week")).toBe("2026-11-15T23:00:00.000Z");
  expect(from("this-month")).toBe("2026-10-31T23:00:00.000Z");
  // Across the end of daylight saving time.
  expect(from("this-week", Date.UTC(2026, 9, 25, 12))).toBe("2026-10-18T22:00:00.000Z");
  for (const range of PRESETS) {
    const bounds = boundsOf(range, MADRID, NOW);
    expect(isValidInterval(bounds, NOW)).toBe(true);
    expect(isPast(range, NOW)).toBe(bounds.to < NOW);
  }
});

test("an interval has to begin before it ends, and before now", () => {
  expect(isValidInterval({ from: NOW - 1 }, NOW)).toBe(true);
  expect(isValidInterval({ from: NOW - 1, to: NOW + HOUR }, NOW)).toBe(true);
  expect(isValidInterval({ from: NOW }, NOW)).toBe(false);
  expect(isValidInterval({ from: NOW - HOUR, to: NOW - HOUR }, NOW)).toBe(false);
  expect(isValidInterval({ from: Date.UTC(2010) }, NOW)).toBe(false);
  expect(isPast({ from: 0, to: NOW - 1 }, NOW)).toBe(true);
  expect(isPast({ from: 0, to: NOW + 1 }, NOW)).toBe(false);
  expect(isPast({ from: 0 }, NOW)).toBe(false);
});

test("equal queries have equal keys, and panels get only what applies to them", () => {
  const filters = [
    { dimension: "a", value: "1&2" },
    { dimension: "b", value: "3" },
  ];
  const query = { panel: "p", range: "1h", zone: "UTC", filters } as const;
  expect(queryKey({ ...query, filters: [...filters].reverse() })).toBe(queryKey(query));
  expect(queryKey({ panel: "p", range: "1h", zone: "UTC" })).toBe("p?range=1h&zone=UTC");
  expect(queryKey({ ...query, compare: "week" })).toBe("p?range=1h&zone=UTC&compare=week&filter=a:1%262&filter=b:3");
  expect(queryKey({ ...query, filters: [], range: { from: 1, to: 2 } })).toBe("p?range=1-2&zone=UTC");
  const selection = { range: "1h", zone: "UTC", compare: "week", filters } as const;
  const panel = { name: "p", filterable: true, comparable: true };
  expect(panelQuery(panel, { ...selection, filters: [...filters] })).toEqual({ panel: "p", ...selection });
  expect(
    panelQuery({ ...panel, filterable: false, comparable: false }, { ...selection, filters: [...filters] }),
  ).toEqual({
    panel: "p",
    range: "1h",
    zone: "UTC",
  });
});
