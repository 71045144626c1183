import { expect, test } from "vitest";
import {
  conditionSentence,
  conditionWords,
  delayWords,
  eventTime,
  fullEventTime,
  gapSpan,
  rateWords,
  shortTime,
} from "./texts.ts";

const AT = Date.UTC(2026, 10, 21, 11, 22, 36, 7);
const ZONE = "Europe/Madrid";

test("times have milliseconds, and their day if it is not today", () => {
  expect(eventTime(AT, ZONE, AT + 1_000)).toBe("12:22:36.007");
  expect(eventTime(AT, ZONE, AT + 24 * 3_600_000)).toBe("21 Nov 12:22:36");
  expect(shortTime(AT, ZONE, AT)).toBe("12:22");
  expect(shortTime(AT, ZONE, AT + 24 * 3_600_000)).toBe("21 Nov 12:22");
  expect(fullEventTime(AT, "UTC", AT)).toBe("Sat 21 Nov, 11:22:36.007");
  expect(gapSpan(AT, AT + 34_000, "UTC")).toBe("11:22:36–11:23:10");
});

test.each([
  [[], "0/min"],
  [[20, 0, 0, 0, 0, 0], "200/min"],
  [[...Array(59).fill(0), 1], "1/min"],
  [[...Array(30).fill(0), 1, ...Array(29).fill(0)], "1/min"],
  [[1, 1, 1, 1, 1], "1.0/s"],
  [[0, 0, 17, 0, 0], "3.4/s"],
  [Array(60).fill(1_200), "1,200/s"],
])("the rate of %j is %s", (perSecond, text) => expect(rateWords(perSecond).text).toBe(text));

test("conditions in words", () => {
  expect(conditionWords({ field: "event_name", operator: "is", value: "page_view" })).toBe("event: page_view");
  expect(conditionSentence({ field: "event_name", operator: "is", value: "page_view" })).toBe("event is page_view");
  expect(conditionSentence({ field: "properties.ms", operator: "greater", value: "5" })).toBe("ms is more than 5");
  expect(conditionWords({ field: "country_code", operator: "is-not", value: "ES" })).toBe("country is not Spain");
  expect(conditionWords({ field: "properties.plan", operator: "is-set", value: "" })).toBe("plan is set");
});

test("the way to the server, also with a clock that is ahead", () => {
  expect(delayWords(AT, AT + 12)).toBe("received 12\u00a0ms later");
  expect(delayWords(AT, AT - 2_000)).toContain("ahead");
});
