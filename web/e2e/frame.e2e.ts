// The frame around the pages: it stands from the first paint, its controls work with the keyboard, a link shows what its
// sender saw, and a wall says what is wrong.

import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { openPage, WIDTHS } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { eventually, waitForConnection, waitForFigures } from "./hooks.ts";
import { accessibilityViolations } from "./layout.ts";
import { generateEvents } from "./server.ts";

// No traffic during the tests: axe looks at one state of the page.
const env = testEnvironment((url) => generateEvents(url, "--rate", "0.2", "--backfill", "2d", "--duration", "1s"));

const FILTERS = "filter=country_code:ES&filter=page_url:/pricing";
const { phone, tablet, desktop } = WIDTHS;

/** Place and size of the parts of the frame. The content grows with what is in it. */
const frameRects = (page: Page) =>
  page.evaluate(() =>
    [".rail", ".bar", ".shell-top", ".shell-main"].map((selector) => {
      const { x, y, width, height } = document.querySelector(selector)?.getBoundingClientRect() ?? new DOMRect();
      return [selector, x, y, width, selector === ".shell-main" ? "" : height].join(" ");
    }),
  );

describe.each([phone, tablet, desktop])("at %i px", (width) => {
  const viewport = { width, height: 900 };

  test.each(["", FILTERS])("the bar and the content are where index.html draws them: %s", async (filters) => {
    const address = `${env.url}/?range=24h&zone=utc&${filters}`;
    // The page as it is before its script has been loaded.
    const first = await openPage(env.browser, "about:blank", { viewport });
    await first.page.route(/\/assets\/.*\.js$/, (route) => route.abort());
    await first.page.goto(address);
    const drawn = await frameRects(first.page);
    await first.close();

    const { page, errors, close } = await openPage(env.browser, address, { viewport });
    await waitForFigures(page);
    expect(await frameRects(page)).toEqual(drawn);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    expect(errors).toEqual([]);
    await close();
  });

  test("pages keep the view, and the palette, the calendar and the link are accessible", async () => {
    const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=6h&zone=utc`, { viewport });
    await waitForFigures(page);
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox", { name: "Search pages and commands" }).waitFor();
    expect(await accessibilityViolations(page), "with the palette").toEqual([]);
    await page.keyboard.type("people");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/people\?/);
    expect(new URL(page.url()).search).toBe("?range=6h&zone=utc");
    await waitForConnection(page, "live");
    await page.getByRole("link", { name: "Dashboards" }).click();
    await page.waitForURL(/\/dashboards\?range=6h&zone=utc$/);
    await page.goto(`${env.url}/?range=6h&zone=utc`);
    await waitForFigures(page);
    await page.locator("[data-range]").click();
    await page.getByRole("dialog", { name: "Choose the time range" }).waitFor();
    expect(await accessibilityViolations(page), "with the calendar").toEqual([]);
    await page.keyboard.press("Escape");
    await page.locator("[data-share]").click();
    await page.getByRole("dialog", { name: "Share this view" }).waitFor();
    expect(await accessibilityViolations(page), "with the link").toEqual([]);
    expect(errors).toEqual([]);
    await close();
  });
});

test("a link with frozen time shows the span that its sender saw", async () => {
  const sender = await openPage(env.browser, `${env.url}/?range=24h&zone=Europe/Madrid&compare=previous`);
  await waitForFigures(sender.page);
  const span = await sender.page.locator("[data-shown-span] > :first-child").innerText();
  await sender.page.keyboard.press("s");
  await sender.page.getByRole("radio", { name: /^Frozen time/ }).check();
  const link = await sender.page.getByLabel("Link", { exact: true }).inputValue();
  expect(link).toMatch(/\?from=.*&to=.*&zone=Europe\/Madrid&compare=previous/);
  await sender.close();

  const receiver = await openPage(env.browser, link, { timezoneId: "Asia/Tokyo" });
  await waitForFigures(receiver.page);
  expect(await receiver.page.locator("[data-shown-span] > :first-child").innerText()).toBe(span);
  expect(receiver.page.url()).toBe(link);
  await receiver.close();
});

test("days are chosen in the calendar with the keyboard", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=utc`);
  await waitForFigures(page);
  await page.keyboard.press("r");
  await page.getByRole("dialog", { name: "Choose the time range" }).waitFor();
  const today = Math.floor(Date.now() / 86_400_000);
  await page.locator(`[data-day="${today}"]`).focus();
  for (const key of ["ArrowLeft", "Enter", "ArrowLeft", "Enter"]) await page.keyboard.press(key);
  await page.getByRole("button", { name: "Apply" }).press("Enter");
  const day = (number: number) => new Date(number * 86_400_000).toISOString().slice(0, 10);
  await page.waitForURL(`**/?from=${day(today - 2)}T00:00&to=${day(today)}T00:00&zone=utc`);
  // Back by two days, and forward again.
  await page.keyboard.press("[");
  await page.waitForURL(`**/?from=${day(today - 4)}T00:00&to=${day(today - 2)}T00:00&zone=utc`);
  await page.keyboard.press("]");
  await page.waitForURL(`**/?from=${day(today - 2)}T00:00&to=${day(today)}T00:00&zone=utc`);
  await close();
});

test("a wall begins with its dashboard, turns amber while the server is away, and stands in the night", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?wall=1&rotate=default&every=30&zone=utc`, {
    viewport: { width: 1920, height: 1080 },
  });
  await page.waitForURL(/\/dashboards\/default\?.*wall=1&rotate=default&every=30/);
  await waitForFigures(page);
  const tone = () => page.locator(".kiosk-frame").getAttribute("data-tone");
  const before = await tone();
  const size = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
  expect(size).toEqual([1920, 1080]);
  await page.waitForFunction(() => document.documentElement.dataset.idle !== undefined);
  expect(await page.evaluate(() => getComputedStyle(document.body).cursor)).toBe("none");
  env.server.freeze();
  await eventually("the frame", tone, (shown) => shown === "warn");
  env.server.thaw();
  await eventually("the frame", tone, (shown) => shown === before);
  await page.reload();
  await waitForFigures(page);
  expect(page.url()).toContain("wall=1");
  expect(errors).toEqual([]);
  await close();
});
