import { expect, test } from "vitest";
import { addMonths, chooseDay, firstDay, monthOf, moveByKey, weekday, weeksOf } from "./calendar.ts";

const day = (iso: string) => Date.parse(`${iso}T00:00Z`) / 86_400_000;
const iso = (number: number | null | undefined) =>
  number == null ? null : new Date(number * 86_400_000).toISOString().slice(0, 10);

test("weeks begin on Monday and hold only the days of their month", () => {
  const november = weeksOf(monthOf(day("2026-11-21")));
  expect(november[0]?.map(iso)).toEqual([null, null, null, null, null, null, "2026-11-01"]);
  expect(november.at(-1)?.map(iso)).toEqual(["2026-11-30", null, null, null, null, null, null]);
  for (let month = monthOf(day("1969-06-01")); month < monthOf(day("2032-01-01")); month += 1) {
    const days = weeksOf(month).flat();
    expect(days.filter((number) => number !== null)).toHaveLength(firstDay(month + 1) - firstDay(month));
    days.forEach((number, index) => {
      if (number !== null) expect(weekday(number)).toBe(index % 7);
    });
  }
});

test("keys move as in the date grid of the ARIA patterns, within the days that can be chosen", () => {
  const move = (key: string, shift = false) =>
    iso(moveByKey(day("2026-10-31"), key, shift, day("2025-01-01"), day("2026-11-21")));
  expect(move("ArrowLeft")).toBe("2026-10-30");
  expect(move("ArrowDown")).toBe("2026-11-07");
  expect(move("Home")).toBe("2026-10-26");
  expect(move("End")).toBe("2026-11-01");
  expect(move("PageUp")).toBe("2026-09-30");
  expect(move("PageUp", true)).toBe("2025-10-31");
  expect(move("PageDown")).toBe("2026-11-21");
  expect(move("a")).toBeNull();
  expect(move("toString")).toBeNull();
  expect(iso(addMonths(day("2024-02-29"), 12))).toBe("2025-02-28");
});

test("two clicks choose days in any order, and the next one begins again", () => {
  expect(chooseDay(undefined, 5)).toEqual({ first: 5 });
  expect(chooseDay({ first: 5 }, 3)).toEqual({ first: 3, last: 5 });
  expect(chooseDay({ first: 5 }, 5)).toEqual({ first: 5, last: 5 });
  expect(chooseDay({ first: 3, last: 5 }, 9)).toEqual({ first: 9 });
});
