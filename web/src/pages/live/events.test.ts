import { expect, test } from "vitest";
import { colorOf, eventCurl, eventJson, identityOf, isFault, type LiveEvent, summarize } from "./events.ts";

const EVENT: LiveEvent = {
  id: "0192f0c1-7c43-7a49-a1a6-8f8a0a1c9a01",
  name: "page_view",
  at: Date.UTC(2026, 10, 21, 10, 0, 0, 123),
  receivedAt: Date.UTC(2026, 10, 21, 10, 0, 1),
  session: "s1",
  user: "",
  device: "mobile",
  country: "ES",
  properties: '{"page_url":"/pricing","n":18446744073709551615}',
};

test("a row names the page or feature, then the first properties", () => {
  expect(summarize('{"a":1,"page_url":"/x","b":"two"}')).toBe("/x · a 1 · b two");
  expect(summarize('{"feature":"export","ok":true}')).toBe("export · ok true");
  expect(summarize('{"a":1,"b":"","c":null,"d":{"e":1},"f":2.50,"g":3,"h":4}')).toBe("a 1 · f 2.50 · g 3");
  expect(summarize("{}")).toBe("");
});

test("the JSON can be sent again, with every digit", () => {
  expect(JSON.parse(eventJson(EVENT))).toMatchObject({
    event_name: "page_view",
    timestamp: "2026-11-21T10:00:00.123Z",
    session_id: "s1",
    properties: { page_url: "/pricing" },
  });
  expect(eventJson(EVENT)).toContain("18446744073709551615");
  expect(eventJson(EVENT)).not.toContain("user_id");
});

test("curl sends a new event, quoted for a shell", () => {
  const text = eventCurl({ ...EVENT, properties: '{"a":"it\'s"}' }, "http://10.0.0.1:8080", true);
  expect(text).toContain("curl http://10.0.0.1:8080/events");
  expect(text).toContain("it'\\''s");
  expect(text).toContain("$MILLRACE_KEY");
  expect(text).not.toContain(EVENT.id);
  expect(eventCurl(EVENT, "http://10.0.0.1:8080", false)).not.toContain("MILLRACE_KEY");
});

test("an event that is read live and stored is the same", () => {
  expect(identityOf({ ...EVENT, id: "" })).toBe(identityOf(EVENT));
  expect(identityOf({ ...EVENT, session: "s2" })).not.toBe(identityOf(EVENT));
});

test("faults are told by their names", () => {
  for (const name of ["error_occurred", "js.exception", "payment_failed", "AppCrash error"])
    expect(isFault(name)).toBe(true);
  for (const name of ["page_view", "terror", "mirror_used"]) expect(isFault(name)).toBe(false);
});

test("a name keeps its colour", () => {
  expect(colorOf("page_view")).toBe(colorOf("page_view"));
  expect(colorOf("page_view")).toMatch(/^--/);
});
