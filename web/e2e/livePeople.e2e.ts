// The pages of live events and people, against a real server.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Page } from "playwright-core";
import { afterAll, describe, expect, test } from "vitest";
import { encodeFigure, type FigureInit } from "../src/api/figureAddress.ts";
import { toTimestamp } from "../src/api/time.ts";
import { Aggregation, ExploreService } from "../src/gen/millrace/v1/explore_pb.ts";
import { openPage, WIDTHS } from "./browser.ts";
import { ingest } from "./client.ts";
import { testEnvironment } from "./environment.ts";
import { startProxy } from "./faults.ts";
import { eventually } from "./hooks.ts";
import { accessibilityViolations } from "./layout.ts";
import { generateEvents, startServer } from "./server.ts";

const HOUR = 3_600_000;
const USER = "u-e2e";

const explore = (url: string) => createClient(ExploreService, createGrpcTransport({ baseUrl: url }));

const send = (
  url: string,
  eventName: string,
  change: { userId?: string; sessionId?: string; at?: number; properties?: object } = {},
) =>
  ingest(url).sendEvents({
    events: [
      {
        eventName,
        sessionId: change.sessionId ?? "s-e2e",
        timestamp: timestampFromMs(change.at ?? Date.now()),
        countryCode: "ES",
        ...(change.userId !== undefined && { userId: change.userId }),
        propertiesKind: { case: "propertiesJson", value: JSON.stringify(change.properties ?? {}) },
      },
    ],
  });

const env = testEnvironment(async (url) => {
  await generateEvents(url, "--rate", "2", "--backfill", "2h", "--duration", "1s");
  await send(url, "login", { userId: USER, at: Date.now() - 3 * HOUR });
  await send(url, "page_view", {
    userId: USER,
    at: Date.now() - HOUR,
    properties: { page_url: "/pricing", plan: "pro" },
  });
  await send(url, "error_occurred", { userId: USER, at: Date.now() - HOUR + 60_000 });
  await fetch(`${url}/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify([{ event_name: "checkout", timestamp: new Date().toISOString(), country_code: "SPAIN" }]),
  });
});

const rows = (page: Page) => page.locator("[data-event]");
const names = (page: Page) => rows(page).evaluateAll((all) => all.map((row) => row.getAttribute("data-event")));

test("an event is on the page when it is accepted, and opens as JSON whose values filter", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/live`);
  await page.waitForSelector('[data-stream="live"]');
  await rows(page).first().waitFor();
  await send(env.url, "first_of_its_kind", { sessionId: "s-other", properties: { plan: "pro", digits: 1 } });
  await page.waitForSelector('[data-event="first_of_its_kind"]');
  // A new stream begins with what is stored.
  await eventually(
    "the stored event",
    async () => {
      const { events } = await fetch(`${env.url}/api/events?filter=event_name:first_of_its_kind`).then((r) => r.json());
      return events.length as number;
    },
    (count) => count === 1,
  );
  await page.locator('[data-event="first_of_its_kind"] [data-row-control]').click();
  const inspector = page.locator("[data-inspector]");
  expect(await inspector.innerText()).toContain('"plan": "pro"');
  await inspector.getByRole("button", { name: "Only events with plan: pro" }).click();
  await page.waitForURL(/where=properties\.plan:pro/);
  await eventually(
    "only matching events",
    () => names(page),
    (shown) => shown.length === 2 && shown.every((name) => name === "first_of_its_kind" || name === "page_view"),
  );
  expect(errors).toEqual([]);
  await close();
});

test("what happened while nobody listened is added, or left as a gap that can be loaded", async () => {
  const proxy = await startProxy(env.url);
  const { page, close } = await openPage(
    env.browser,
    `${proxy.url}/live?where=event_name:gap_*&where=event_name~:gap_`,
  );
  await page.waitForSelector('[data-stream="live"]', { timeout: 30_000 });
  await page.goto(`${proxy.url}/live?where=event_name~:gap_&rate=1000`);
  await page.waitForSelector('[data-stream="live"]', { timeout: 30_000 });
  await send(env.url, "gap_before", { sessionId: "s-other" });
  await page.waitForSelector('[data-event="gap_before"]');
  await proxy.refuse();
  await page.waitForSelector('[data-stream="retrying"]');
  const at = Date.now();
  await ingest(env.url).sendEvents({
    events: Array.from({ length: 250 }, (_, i) => ({
      eventName: "gap_inside",
      sessionId: `s${i}`,
      timestamp: timestampFromMs(at + i),
    })),
  });
  // They have landed when they can be searched.
  await eventually(
    "the stored events",
    async () => {
      const { events } = await fetch(`${env.url}/api/events?filter=event_name:gap_inside&page_size=300`).then((r) =>
        r.json(),
      );
      return events.length as number;
    },
    (count) => count === 250,
  );
  await proxy.restore();
  await page.waitForSelector('[data-stream="live"]', { timeout: 30_000 });
  const list = page.locator("[data-list]");
  await eventually(
    "the newest events and a gap",
    () => list.getAttribute("data-list"),
    (count) => count === "102",
  );
  await page.getByRole("region", { name: "Events, the newest first" }).evaluate((element) => {
    element.scrollTop = element.scrollHeight;
  });
  await page.locator("[data-gap]").getByRole("button").click();
  await eventually(
    "the events of the gap",
    () => list.getAttribute("data-list"),
    (count) => count === "251",
  );
  expect(await page.locator("[data-gap]").count()).toBe(0);
  await close();
  await proxy.close();
});

test("a list that is read holds still", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/live?where=event_name:still`);
  await page.waitForSelector('[data-stream="live"]');
  await send(env.url, "still", { sessionId: "s-other" });
  await rows(page).first().waitFor();
  await page.locator("[data-list]").hover();
  await page.waitForSelector('[data-list="1"]');
  await send(env.url, "still", { sessionId: "s-other" });
  await page.waitForSelector('[data-waiting="1"]');
  expect(await rows(page).count()).toBe(1);
  await page.getByRole("button", { name: "Show 1 new event" }).click();
  await eventually(
    "rows",
    () => rows(page).count(),
    (count) => count === 2,
  );
  await page.mouse.move(5, 5);
  await page.keyboard.press("Space");
  await send(env.url, "still", { sessionId: "s-other" });
  await page.waitForSelector('[data-waiting="1"]');
  await page.keyboard.press("Space");
  await eventually(
    "rows",
    () => rows(page).count(),
    (count) => count === 3,
  );
  await close();
});

test("a rejected event says what is wrong and how to fix it", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/live?show=rejected`);
  await page.locator("[data-rejected-row]").first().getByRole("button").click();
  const inspector = page.locator("[data-inspector]");
  expect(await inspector.innerText()).toContain("country_code");
  expect(await inspector.locator("[data-fix]").innerText()).toContain("ISO 3166-1");
  await page.getByRole("button", { name: /^1 country_code/ }).click();
  await page.waitForURL(/reason=/);
  expect(await page.locator("[data-rejected-row]").count()).toBe(1);
  await close();
});

describe("an empty server", () => {
  const server = startServer();
  afterAll(async () => (await server).close());

  test("the first event is on the page, with how long it took", async () => {
    const { url } = await server;
    const { page, close } = await openPage(env.browser, `${url}/live`);
    await page.waitForSelector("[data-getting-started]", { timeout: 30_000 });
    await page.getByRole("button", { name: /test event/i }).click();
    await page.waitForSelector("[data-arrival]", { timeout: 30_000 });
    const text = await page.locator("[data-arrival]").innerText();
    console.log(text);
    expect(text).toMatch(/Your test event has arrived: \d/);
    await close();
  });
});

describe("the people behind a figure", () => {
  const range = { interval: { start: toTimestamp(Date.now() - 24 * HOUR), end: toTimestamp(Date.now() + HOUR) } };
  const trend = { series: [{ eventName: "signup_started", aggregation: Aggregation.VISITORS }], range };
  const funnel = { steps: [{ eventName: "signup_started" }, { eventName: "signup_completed" }], range };

  const length = async (figure: FigureInit) => {
    const { page, close } = await openPage(env.browser, `${env.url}/people?figure=${encodeFigure(figure)}`);
    await page.waitForSelector("[data-figure]:not([data-figure=''])");
    const count = Number(await page.locator("[data-figure]").getAttribute("data-figure"));
    // All of them are in the list, not only counted.
    await eventually(
      "the loaded people",
      async () => {
        await page.locator(".ui-rows").evaluate((element) => {
          element.scrollTop = element.scrollHeight;
        });
        return Number(await page.locator("[data-people]").getAttribute("data-people"));
      },
      (loaded) => loaded === count,
    );
    await close();
    return count;
  };

  test("are as many as the figure of a trend", async () => {
    const { lines } = await explore(env.url).queryTrend(trend);
    const value = lines[0]?.total?.value;
    expect(value).toBeGreaterThan(0);
    expect(await length({ case: "trend", value: { query: trend } })).toBe(value);
  });

  test("are as many as those of a funnel's step", async () => {
    const { overall } = await explore(env.url).queryFunnel(funnel);
    const count = Number(overall?.steps[1]?.count);
    expect(count).toBeGreaterThan(0);
    expect(await length({ case: "funnel", value: { query: funnel, step: 2 } })).toBe(count);
  });
});

test("a person is found, and their timeline has their sessions", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/people`);
  await page.getByRole("searchbox").fill("u-e2");
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await page.waitForURL(/search=u-e2/);
  await page.getByRole("link", { name: `Show ${USER}` }).click();
  await page.waitForURL(/people\/u-e2e/);
  await page.waitForSelector('[data-timeline="3"]');
  expect(await page.locator("[data-session]").count()).toBe(2);
  expect(await names(page)).toEqual(["error_occurred", "page_view", "login"]);
  await page.getByRole("link", { name: "Their live events" }).click();
  await page.waitForURL(/live\?.*where=user_id:u-e2e/);
  expect(errors).toEqual([]);
  await close();
});

describe.each(["dark", "light"] as const)("in the %s theme", (colorScheme) => {
  test.each([WIDTHS.phone, WIDTHS.tablet, WIDTHS.desktop])("axe finds nothing at %i px", async (width) => {
    const states: [path: string, ready: string][] = [
      ["/live", "[data-event]"],
      ["/live?where=event_name:nothing", '[data-stream="live"]'],
      ["/live?show=rejected", "[data-rejected-row]"],
      ["/people", "[data-person]"],
      [`/people/${USER}`, "[data-timeline] [data-event]"],
    ];
    for (const [path, ready] of states) {
      const { page, errors, close } = await openPage(env.browser, `${env.url}${path}`, {
        colorScheme,
        viewport: { width, height: 900 },
      });
      await page.locator(ready).first().waitFor();
      expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBe(width);
      expect(await accessibilityViolations(page), path).toEqual([]);
      const row = page.locator("button[data-row-control]").first();
      if ((await row.count()) > 0) {
        await row.press("Enter");
        await page.locator("[data-inspector]").waitFor();
        expect(await accessibilityViolations(page), `${path} with an open row`).toEqual([]);
        await page.keyboard.press("Escape");
        await page.locator("[data-inspector]").waitFor({ state: "detached" });
      }
      expect(errors).toEqual([]);
      await close();
    }
  });
});
