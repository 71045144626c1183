import { expect, test } from "vitest";
import { type Health, Status } from "../../api/messages.ts";
import { rateWords, verdictOf } from "./verdict.ts";

const health = (status: Status, summary = "ok") => ({ status, summary }) as Health;

test("one line says how the server is", () => {
  expect(verdictOf(undefined, undefined, undefined)).toMatchObject({ mood: "unknown", title: "Asking the server" });
  expect(verdictOf(health(Status.OK), undefined, 20.4).title).toBe("All good: 20 events/s.");
  expect(verdictOf(health(Status.OK), undefined, 0.2).title).toBe("All good: 12 events/min.");
  expect(verdictOf(health(Status.OK), undefined, 0).title).toBe("All good. No events are arriving.");
  expect(verdictOf(health(Status.DEGRADED, "dead letters wait"), undefined, 5)).toEqual({
    mood: "warn",
    title: "Needs attention",
    detail: "dead letters wait",
  });
  expect(verdictOf(health(Status.DOWN, "disk is full"), undefined, 5).mood).toBe("danger");
});

test("nothing is said of the rate before it is known", () => {
  expect(verdictOf(health(Status.OK), undefined, undefined).title).toBe("All good. Measuring…");
});

test("rejections of the last minutes are told", () => {
  const verdict = (total: number, lastAgoMs: number, rate = 5) =>
    verdictOf(health(Status.OK), undefined, rate, { total, lastAgoMs });
  expect(verdict(150, 180_000)).toEqual({
    mood: "warn",
    title: "Events arrive; 150 were rejected",
    detail: "The last one 3 min ago, counted since the server started.",
    rejected: true,
  });
  expect(verdict(1, 0, 0).title).toBe("No events are arriving; 1 was rejected");
  const unknown = verdictOf(health(Status.OK), undefined, undefined, { total: 150, lastAgoMs: 0 });
  expect(unknown.title).toBe("150 events were rejected");
  expect(verdict(150, 3_600_000).mood).toBe("good");
  expect(verdict(0, 0).mood).toBe("good");
});

test("a disk that fills up is told", () => {
  const disk = { mood: "danger", text: "Full in about 3 days at this growth." } as const;
  expect(verdictOf(health(Status.OK), undefined, 5, undefined, disk)).toEqual({
    mood: "danger",
    title: "The disk of ClickHouse is filling up",
    detail: disk.text,
  });
  expect(verdictOf(health(Status.OK), undefined, 5, undefined, { mood: "good", text: "" }).mood).toBe("good");
});

test("a lost connection is told before what was last known", () => {
  const lost = verdictOf(health(Status.OK), "the server cannot be reached", 20);
  expect(lost).toEqual({
    mood: "danger",
    title: "No word from the server",
    detail: "The server cannot be reached. What follows is from before.",
  });
});

test.each([
  [0, "0 events/s"],
  [0.004, "1 events/min"],
  [0.2, "12 events/min"],
  [3.44, "3.4 events/s"],
  [20.4, "20 events/s"],
  [12_345, "12,345 events/s"],
])("%d is %s", (rate, text) => expect(Object.values(rateWords(rate)).join(" ")).toBe(text));
