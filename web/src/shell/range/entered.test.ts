import { expect, test } from "vitest";
import { check, dayOf, daysOf, enteredDays, enteredFrom } from "./entered.ts";

const MADRID = "Europe/Madrid";
/** Sat 21 November 2026, 11:00 in Madrid. */
const NOW = Date.UTC(2026, 10, 21, 10);
const ANY = { words: "" };
const entered = (from: string, to?: string) => ({ from, to: to ?? "", untilNow: to === undefined });

test("a range is shown on the clock of the zone", () => {
  expect(enteredFrom("6h", MADRID, NOW)).toEqual({ from: "2026-11-21T05:00", to: "2026-11-21T11:00", untilNow: true });
  expect(enteredFrom("yesterday", MADRID, NOW)).toEqual({
    from: "2026-11-20T00:00",
    to: "2026-11-21T00:00",
    untilNow: false,
  });
});

test("days of the calendar are whole days, and the present one goes on", () => {
  const today = dayOf(NOW, MADRID);
  expect(enteredDays({ first: today - 2, last: today - 1 }, MADRID, today)).toEqual({
    from: "2026-11-19T00:00",
    to: "2026-11-21T00:00",
    untilNow: false,
  });
  expect(enteredDays({ first: today }, MADRID, today).untilNow).toBe(true);
  const days = { first: today - 40, last: today - 20 };
  expect(daysOf(enteredDays(days, MADRID, today), MADRID, NOW)).toEqual(days);
  expect(daysOf(entered("2026-11-20T10:00"), MADRID, NOW)).toEqual({ first: today - 1, last: today });
});

test("typed times are read on the clock of the zone", () => {
  expect(check(entered("2026-11-20T10:00", "2026-11-20T12:30"), MADRID, NOW, ANY)).toEqual({
    interval: { from: Date.UTC(2026, 10, 20, 9), to: Date.UTC(2026, 10, 20, 11, 30) },
    errors: {},
  });
  expect(check(entered("2026-11-20T10:00"), "UTC", NOW, ANY).interval).toEqual({ from: Date.UTC(2026, 10, 20, 10) });
});

test("what is wrong is said at its field", () => {
  const errors = (from: string, to?: string, oldest?: number) =>
    check(entered(from, to), MADRID, NOW, { oldest, words: "stored since" }).errors;
  expect(errors("", "")).toEqual({
    from: expect.stringContaining("Enter a start"),
    to: expect.stringContaining("Enter an end"),
  });
  expect(errors("2026-11-20T10:00", "2026-11-20T10:00").to).toContain("after the start");
  expect(errors("2026-11-20T10:00", "2026-11-22T10:00").to).toContain("in the future");
  expect(errors("2026-11-22T10:00").from).toContain("in the future");
  expect(errors("2026-11-20T10:00", undefined, NOW).from).toBe("stored since");
  expect(errors("1999-01-01T00:00").from).toContain("10 years");
});
