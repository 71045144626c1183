// Many tabs of one browser share one stream; hidden tabs need none.

import type { Page } from "playwright-core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { launchPlain, openPage } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { type FaultProxy, startProxy } from "./faults.ts";
import { eventually, figure, waitForConnection, waitForFigures } from "./hooks.ts";
import { generateEvents } from "./server.ts";

const env = testEnvironment((url) => generateEvents(url, "--rate", "5", "--backfill", "10m", "--duration", "1s"));
// Page views, over a fixed window, in the card with the lead figure that every event of `sendEvent` changes.
const PANEL = "live_visitors";

let proxy: FaultProxy;
beforeEach(async () => {
  proxy = await startProxy(env.url);
});
afterEach(() => proxy.close());

const oneStream = () =>
  eventually(
    "streams in progress",
    () => proxy.active("WatchPanels"),
    (active) => active === 1,
  );

test("ten tabs are live over HTTP/1.1 with one stream", async () => {
  const url = `${proxy.url}/?range=1h&zone=utc`;
  const { page: first, close } = await openPage(env.browser, url);
  const pages: Page[] = [first];
  for (let tab = 2; tab <= 10; tab += 1) {
    const page = await first.context().newPage();
    await page.goto(url);
    pages.push(page);
  }
  for (const page of pages) {
    await waitForConnection(page, "live");
    await waitForFigures(page);
  }
  await oneStream();

  const shown = await first.locator(`[data-panel="${PANEL}"]`).innerText();
  await env.sendEvent();
  for (const page of pages) {
    await eventually(
      "a tab's figures after an event",
      () => page.locator(`[data-panel="${PANEL}"]`).innerText(),
      (text) => text !== shown,
    );
  }

  // The others stay live when the tab that was opened first is closed, and when another one has another range.
  await first.close();
  const [second, third] = [pages[1] as Page, pages[2] as Page];
  await second.keyboard.press("2");
  await eventually(
    "the second tab's address",
    () => second.url(),
    (address) => address.includes("range=6h"),
  );
  await waitForFigures(second);
  await waitForConnection(third, "live");
  expect(third.url()).toContain("range=1h");
  await waitForFigures(third);
  await oneStream();
  await close();
  await eventually(
    "streams after the last tab was closed",
    () => proxy.active("WatchPanels"),
    (active) => active === 0,
  );
});

test("a hidden tab releases the stream and resumes when it is shown", async () => {
  const browser = await launchPlain();
  const page = await browser.newPage();
  await page.goto(`${proxy.url}/?range=1h&zone=utc`);
  await page.waitForSelector('[data-connection="live"]', { timeout: 60_000 });
  await oneStream();
  await page.evaluate(() => Object.assign(window, { notReloaded: true }));

  const other = await browser.newPage();
  await other.bringToFront();
  await eventually(
    "the tab's visibility",
    () => page.evaluate(() => document.visibilityState),
    (state) => state === "hidden",
  );
  const since = performance.now();
  await eventually(
    "streams of a hidden tab",
    () => proxy.active("WatchPanels"),
    (active) => active === 0,
  );
  console.log(`stream released ${Math.round(performance.now() - since)} ms after the tab was hidden`);

  await page.bringToFront();
  const shown = performance.now();
  await oneStream();
  await page.waitForSelector('[data-connection="live"]', { timeout: 60_000 });
  console.log(`live ${Math.round(performance.now() - shown)} ms after the tab was shown`);
  expect(await page.evaluate(() => "notReloaded" in window)).toBe(true);
  await browser.close();
});

test("a closed tab leaves no call behind", async () => {
  const { page, close } = await openPage(env.browser, `${proxy.url}/?range=1h`);
  await waitForConnection(page, "live");
  await figure(page, PANEL);
  await close();
  await eventually(
    "streams of a closed tab",
    () => proxy.active("WatchPanels"),
    (active) => active === 0,
  );
});
