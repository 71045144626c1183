// The state of the page in its address, the kiosk mode, and the pictures of the documentation.

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { openPage, WIDTHS } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { chooseInMenu, waitForChartCode, waitForCharts, waitForConnection } from "./hooks.ts";
import { accessibilityViolations } from "./layout.ts";
import { generateEvents, startTraffic } from "./server.ts";

let traffic: { close: () => Promise<void> };

// Screenshots need a busy week, with the same hour of the week before; tests need a fast backfill.
const [RATE, HISTORY] = process.env.SCREENSHOTS === "1" ? [4, "8d"] : [2, "1d"];

const env = testEnvironment(async (url) => {
  await generateEvents(url, "--rate", String(RATE), "--backfill", HISTORY, "--duration", "1s");
  traffic = startTraffic(url, RATE * 2);
});
// Hooks run in reverse order, so the traffic stops before the server.
afterAll(() => traffic?.close());

const dialogs = "[role=dialog]:visible, dialog[open]";

test("a shared link shows the sender's view", async () => {
  const sender = await openPage(env.browser, env.url);
  await waitForCharts(sender.page);
  await sender.page.keyboard.press("2");
  await chooseInMenu(sender.page, "error_rate", /enlarge|expand/i);
  await sender.page.waitForURL(/panel=error_rate/);
  const link = sender.page.url();
  expect(decodeURIComponent(link)).toMatch(/range=6h.*zone=Europe\/Madrid/);
  await sender.page.goBack();
  await sender.page.locator(dialogs).first().waitFor({ state: "detached" });
  await sender.close();

  const receiver = await openPage(env.browser, link, { timezoneId: "Asia/Tokyo" });
  await receiver.page.locator(dialogs).locator('[data-panel="error_rate"]').waitFor();
  await receiver.page.locator("[data-range]").filter({ hasText: "Last 6 hours" }).first().waitFor();
  const text = await receiver.page.locator("body").innerText();
  expect(text).toContain("Madrid");
  expect(receiver.page.url()).toBe(link);
  await receiver.close();
});

test("links of earlier versions show the same view", async () => {
  const { page, errors, close } = await openPage(
    env.browser,
    `${env.url}/?range=24h&zone=Europe/Madrid&panel=top_pages`,
  );
  await page.locator(dialogs).locator('[data-panel="top_pages"]').waitFor();
  expect(errors).toEqual([]);
  await close();
});

test("wall mode fits the screen", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=6h&wall=1`, {
    viewport: { width: 1920, height: 1080 },
  });
  await waitForCharts(page);
  const size = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
  expect(size).toEqual([1920, 1080]);
  // The rows of a ranking fill their tile, and each is whole.
  const rows = await page
    .locator(".ranking-bars")
    .first()
    .evaluate((list) => {
      const box = list.getBoundingClientRect();
      const shown = [...list.querySelectorAll("li")]
        .map((row) => row.getBoundingClientRect())
        .filter(({ left }) => left < box.right - 1);
      const bottom = Math.max(...shown.map((row) => row.bottom));
      return { below: box.bottom - bottom, shown: shown.length };
    });
  expect(rows.shown).toBeGreaterThan(3);
  expect(Math.abs(rows.below)).toBeLessThan(2);
  await close();
});

test.each(["dark", "light"] as const)(
  "axe finds nothing in the help and in a table in the %s theme",
  async (colorScheme) => {
    const { page, close } = await openPage(env.browser, `${env.url}/?range=6h`, { colorScheme });
    await waitForCharts(page);
    await chooseInMenu(page, "top_features", /table/i);
    await page.locator('[data-panel="top_features"]').locator("table, [role=table], [role=grid]").waitFor();
    expect(await accessibilityViolations(page)).toEqual([]);
    await page.locator("body").press("?");
    await page.locator(dialogs).first().waitFor();
    expect(await accessibilityViolations(page), "with the help").toEqual([]);
    await close();
  },
);

test.runIf(process.env.SCREENSHOTS === "1")("screenshots for the documentation", async () => {
  const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
  await mkdir(docs, { recursive: true });
  const desktop = { colorScheme: "dark", viewport: { width: WIDTHS.desktop, height: 1000 } } as const;
  const shots = [
    ["dashboard-dark", "/?range=6h", desktop],
    ["dashboard-light", "/?range=6h", { ...desktop, colorScheme: "light" }],
    ["dashboard-phone", "/?range=6h", { colorScheme: "dark", viewport: { width: WIDTHS.phone, height: 844 } }],
  ] as const;
  for (const [name, path, options] of shots) {
    const { page, close } = await openPage(env.browser, env.url + path, options);
    await waitForConnection(page, "live");
    await waitForCharts(page);
    const fullPage = name !== "dashboard-phone";
    if (fullPage) {
      // Charts are drawn when they come on screen.
      const height = await page.evaluate(() => document.documentElement.scrollHeight);
      await page.setViewportSize({ width: options.viewport.width, height });
      await waitForCharts(page);
      await waitForChartCode(page);
    }
    await page.screenshot({ path: `${docs}${name}.png`, fullPage, animations: "disabled" });
    await close();
  }
  // Each of the other pages, when what it is about has arrived.
  const pages = [
    ["explore", "/explore?q=funnel&s=signup_started&s=signup_completed&by=device_type&range=24h", "main table"],
    ["live", "/live", "[data-event]"],
    ["people", "/people", 'a[href*="people/"]'],
    ["status", "/status", "main table"],
    ["dashboards", "/dashboards", "main a"],
  ] as const;
  for (const [name, path, content] of pages) {
    const { page, close } = await openPage(env.browser, env.url + path, {
      ...desktop,
      viewport: { width: WIDTHS.desktop, height: 900 },
    });
    await waitForConnection(page, "live");
    await page.locator(content).first().waitFor();
    await page.screenshot({ path: `${docs}${name}.png`, animations: "disabled" });
    await close();
  }
});
