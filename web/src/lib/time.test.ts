import { expect, test } from "vitest";
import { isRange, isTimeZone, tickLabel, timeZoneLabel } from "./time.ts";

const NOON = Date.UTC(2026, 10, 21, 12, 5);

test("labels use the time zone", () => {
  expect(tickLabel(NOON, "1h", "UTC")).toBe("12:05");
  expect(tickLabel(NOON, "1h", "Asia/Kolkata")).toBe("17:35");
});

test("day labels use the date in the time zone", () => {
  expect(tickLabel(Date.UTC(2026, 10, 20, 23), "7d", "UTC")).toContain("20");
  expect(tickLabel(Date.UTC(2026, 10, 20, 23), "7d", "Europe/Madrid")).toContain("21");
});

test("unknown ranges and time zones are rejected", () => {
  expect(isRange("6h")).toBe(true);
  expect(isRange("8h")).toBe(false);
  expect(isTimeZone("Europe/Madrid")).toBe(true);
  expect(isTimeZone("Europe/Atlantis")).toBe(false);
  expect(timeZoneLabel("America/New_York")).toBe("New York");
});
