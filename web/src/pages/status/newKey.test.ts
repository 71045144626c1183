import { expect, test } from "vitest";
import { KeyScope } from "../../api/messages.ts";
import { emptyForm, type KeyForm, problemsOf, toRequest } from "./newKey.ts";

const form = (change: Partial<KeyForm> = {}): KeyForm => ({ ...emptyForm("shop"), name: "Shop", ...change });

test("a key needs a name, and a usable project", () => {
  expect(problemsOf(form())).toEqual({});
  expect(problemsOf(form({ name: " ", project: "My Shop" }))).toEqual({
    name: expect.any(String),
    project: expect.any(String),
  });
});

test("a key for pages needs origins, without paths", () => {
  expect(problemsOf(form({ scope: "browser" })).origins).toMatch(/at least one/);
  expect(problemsOf(form({ scope: "browser", origins: "https://a.example/shop" })).origins).toMatch(/a\.example\/shop/);
  expect(problemsOf(form({ scope: "browser", origins: "https://a.example\nhttp://localhost:3000" }))).toEqual({});
  // Other keys have none, whatever was typed before the scope was changed.
  expect(problemsOf(form({ scope: "read", origins: "x", limits: { ...form().limits, burst: "x" } }))).toEqual({});
});

test("limits are whole numbers", () => {
  const limits = { ...form().limits, eventsPerSecond: "1.5", burst: "-1", maxStreams: "4294967296", maxRequests: "8" };
  expect(Object.keys(problemsOf(form({ limits })))).toEqual(["eventsPerSecond", "burst", "maxStreams"]);
});

test("the request has what the scope allows", () => {
  const typed = form({ origins: "https://a.example, https://b.example", events: "page_view\nlogin" });
  expect(toRequest(typed)).toEqual({
    name: "Shop",
    scope: KeyScope.WRITE,
    project: "shop",
    origins: [],
    events: ["page_view", "login"],
  });
  const limits = { ...typed.limits, eventsPerDay: "5000" };
  expect(toRequest({ ...typed, scope: "browser", limits })).toMatchObject({
    scope: KeyScope.BROWSER,
    origins: ["https://a.example", "https://b.example"],
    limits: { eventsPerDay: 5000n, eventsPerSecond: 0 },
  });
  expect(toRequest({ ...typed, scope: "admin", limits })).toMatchObject({ origins: [], events: [] });
  expect(toRequest({ ...typed, scope: "admin", limits }).limits).toBeUndefined();
});
