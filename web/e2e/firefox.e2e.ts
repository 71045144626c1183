// Firefox over WebDriver BiDi: the dashboard with updates and another range, and every other page; no errors, and nothing for axe.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchFirefox } from "./browser.ts";
import { dashboard, ingest, PANEL_REQUEST } from "./client.ts";
import { eventually } from "./hooks.ts";
import { accessibilityViolations } from "./layout.ts";
import { generateEvents, startServer, type TestServer } from "./server.ts";

let server: TestServer;
let browser: Browser;
let page: Page;
const problems: string[] = [];

beforeAll(async () => {
  server = await startServer();
  await generateEvents(server.url, "--rate", "20", "--backfill", "10m", "--duration", "1s");
  browser = await launchFirefox();
  page = await browser.newPage();
  await page.setViewport({ width: 1440, height: 900 });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  // Firefox reports violations of the content security policy as an event, not on the console.
  await page.evaluateOnNewDocument(() => {
    const violations: string[] = [];
    Object.assign(window, { violations });
    document.addEventListener("securitypolicyviolation", (event) =>
      violations.push(`${event.violatedDirective}: ${event.blockedURI}`),
    );
  });
  await page.goto(`${server.url}/?range=1h&zone=Europe/Madrid`);
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** Of the content security policy, since the page was opened. */
const violations = () => page.evaluate(() => (window as unknown as { violations: string[] }).violations);

const figureDigits = async (panel: string) =>
  (await page.$eval(`[data-panel="${panel}"] [data-figure]`, (figure) => figure.textContent)).replace(/\D/g, "");

const visitors = async () => String((await dashboard(server.url).getLiveVisitors(PANEL_REQUEST)).uniqueVisitors);

test("the figures equal those of the gRPC API", async () => {
  await page.waitForSelector('[data-connection="live"]', { timeout: 60_000 });
  await page.waitForSelector('[data-panel="live_visitors"] [data-figure]', { timeout: 60_000 });
  // The window of five minutes slides during the comparison.
  await eventually(
    "live visitors on the page and over gRPC",
    async () => [await figureDigits("live_visitors"), await visitors()],
    ([shown, expected]) => shown === expected,
  );
});

test("an event updates them without a reload", async () => {
  await page.evaluate(() => Object.assign(window, { notReloaded: true }));
  const before = Number(await visitors());
  for (let visitor = 1; visitor <= 3; visitor += 1) {
    const sessionId = `firefox-${visitor}`;
    await ingest(server.url).sendEvents({
      events: [{ eventName: "page_view", sessionId, userId: sessionId, timestamp: timestampFromMs(Date.now()) }],
    });
  }
  expect(before).toBeGreaterThan(0);
  await eventually(
    "live visitors after three new ones",
    async () => [await figureDigits("live_visitors"), await visitors()],
    ([shown, expected]) => shown === expected,
  );
  expect(await page.evaluate(() => "notReloaded" in window)).toBe(true);
});

test("another range is drawn", async () => {
  await page.keyboard.press("3");
  await eventually(
    "the address",
    () => page.url(),
    (url) => url.includes("range=24h"),
  );
  await page.waitForFunction(
    () =>
      document.querySelectorAll("[data-panel]").length >= 8 &&
      document.querySelectorAll('[data-panel]:not([data-state="live"]), [data-placeholder]').length === 0,
    { timeout: 60_000 },
  );
  expect(await page.$$eval("[data-chart]", (charts) => charts.length)).toBeGreaterThan(0);
});

const EXPLORE_FIGURE = ".explore-result[data-state=done] .explore-figure";

/** What a page has when it is open. */
const PAGES: Record<string, { path: string; ready: string }> = {
  "a trend in Explore": { path: "/explore?range=24h&s=page_view", ready: EXPLORE_FIGURE },
  "a funnel in Explore": {
    path: "/explore?range=24h&q=funnel&s=signup_started&s=signup_completed",
    ready: ".explore-result[data-state=done] .explore-step:nth-child(2)",
  },
  "live events": { path: "/live", ready: "[data-event]" },
  people: { path: "/people", ready: "[data-person]" },
  "a person": { path: "/people/firefox-1", ready: "[data-timeline] [data-event]" },
  "data and health": { path: "/status", ready: "[data-mood=good]" },
  "the list of dashboards": { path: "/dashboards", ready: "[data-dashboard=default]" },
};

test.each(Object.entries(PAGES))(
  "%s opens with its figures or rows, and axe finds nothing",
  async (_, { path, ready }) => {
    await page.goto(server.url + path);
    await page.waitForSelector(ready, { timeout: 60_000, visible: true });
    await page.waitForSelector('[data-connection="live"]', { timeout: 60_000 });
    expect(await page.$eval(ready, (element) => element.textContent)).toMatch(/\S/);
    expect(await accessibilityViolations(page)).toEqual([]);
    expect(await violations()).toEqual([]);
  },
);

test("no errors and no violations of the content security policy", async () => {
  expect(problems).toEqual([]);
  expect(await violations()).toEqual([]);
});
