import { expect, test } from "vitest";
import type { StorageHealth } from "../../api/messages.ts";
import { DAY } from "../../lib/time.ts";
import { daysText, forecastOf } from "./forecast.ts";

const GB = 1_000_000_000n;
const storage = (freeBytes: bigint, growthBytesPerDay?: bigint) =>
  ({ storedBytes: GB, totalBytes: 1_000n * GB, freeBytes, growthBytesPerDay }) as StorageHealth;

test("the forecast says when the disk is full, and what it assumes", () => {
  const { mood, text, assumed } = forecastOf(storage(82n * GB, 2n * GB), DAY, 90);
  expect(text).toBe("Full in about 41 days at this growth.");
  expect(assumed).toMatch(/2\sGB a day.*kept for 90 days/);
  expect(mood).toBe("good");
});

test.each([
  [20n, 1n, "warn", "Full in about 20 days at this growth."],
  [3n, 1n, "danger", "Full in about 3 days at this growth."],
  [1n, 4n, "danger", "Full within a day at this growth."],
] as const)("%d GB at %d GB a day: %s", (free, growth, mood, text) => {
  expect(forecastOf(storage(free * GB, growth * GB), DAY, 90)).toMatchObject({ mood, text });
});

test("a disk that lasts longer than the retention probably never fills", () => {
  const { text } = forecastOf(storage(300n * GB, GB), DAY, 90);
  expect(text).toBe(
    "At this growth it would be full in about 10 months, but after 90 days old events are dropped as new ones arrive.",
  );
});

test("a growth that was observed for less than a day is no alarm, and is told with its basis", () => {
  const { mood, text } = forecastOf(storage(2n * GB, GB), 19 * 60_000 + 7_000, 90);
  expect(text).toBe("Full in about 2 days at the growth of the last 19 min.");
  expect(mood).toBe("good");
});

test("without growth there is no date", () => {
  expect(forecastOf(storage(GB), DAY, 90)).toMatchObject({ mood: "unknown", assumed: "" });
  expect(forecastOf(storage(GB, 0n), DAY, 90).text).toBe("Not growing.");
  expect(forecastOf(storage(GB, -5n), DAY, 0)).toMatchObject({ mood: "good", assumed: "" });
  expect(forecastOf(storage(900n * GB, 1_000n), DAY, 90).text).toBe("Not full within ten years at this growth.");
});

test.each([
  [0.2, "less than a day"],
  [1.2, "1 day"],
  [41.4, "41 days"],
  [300, "10 months"],
  [1_100, "3 years"],
])("%d days", (days, text) => expect(daysText(days)).toBe(text));
