// Layout at several widths, URL state, keyboard shortcuts and accessibility.

import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, describe, expect, test } from "vitest";
import { openPage, WIDTHS, waitForPanel } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { generateEvents, startTraffic } from "./server.ts";

let traffic: { close: () => Promise<void> };

// Events per second. Screenshots need a busy week; tests need a fast backfill.
const RATE = process.env.SCREENSHOTS === "1" ? 12 : 2;

const env = testEnvironment(async (url) => {
  await generateEvents(url, "--rate", String(RATE), "--backfill", "8d", "--duration", "1s");
  traffic = startTraffic(url, RATE * 2);
});
// Hooks run in reverse order, so the traffic stops before the server.
afterAll(() => traffic?.close());

const waitForCharts = async (page: Page) => {
  for (const name of ["active_users", "signup_funnel", "error_rate", "traffic_by_country"]) {
    await page.waitForSelector(`[data-panel="${name}"] svg.recharts-surface path`, {
      timeout: 30_000,
      state: "attached",
    });
  }
  await waitForPanel(page, "top_pages", (text) => text.includes("/pricing"), 30_000);
};

test.each([
  ["phone", WIDTHS.phone, 1],
  ["tablet", WIDTHS.tablet, 1],
  ["desktop", WIDTHS.desktop, 2],
] as const)("on a %s (%i px) nothing overflows and the grid has %i column(s)", async (_, width, columns) => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=6h`, { viewport: { width, height: 900 } });
  await waitForCharts(page);
  const layout = await page.evaluate(() => {
    const main = document.querySelector('[data-grid="main"]');
    const lefts = [...(main?.children ?? [])].map((card) => Math.round(card.getBoundingClientRect().left));
    return { columns: new Set(lefts).size, cards: lefts.length, overflow: document.documentElement.scrollWidth };
  });
  expect(layout).toEqual({ columns, cards: 4, overflow: width });
  await close();
});

test("a shared link shows the sender's view", async () => {
  const sender = await openPage(env.browser, env.url);
  await waitForCharts(sender.page);
  await sender.page.keyboard.press("2");
  await sender.page.locator('[data-panel="error_rate"] [aria-haspopup=menu]').click();
  await sender.page.getByRole("menuitem", { name: "Enlarge" }).click();
  const link = sender.page.url();
  expect(link).toContain("?range=6h&zone=Europe/Madrid&panel=error_rate");
  await sender.page.goBack();
  expect(await sender.page.locator("dialog[open]").count()).toBe(0);
  await sender.close();

  const receiver = await openPage(env.browser, link, { timezoneId: "Asia/Tokyo" });
  await receiver.page.waitForSelector('dialog[open] [data-panel="error_rate"]');
  const pressed = (name: string) =>
    receiver.page.locator("fieldset button", { hasText: name }).getAttribute("aria-pressed");
  expect(await pressed("6h")).toBe("true");
  expect(await pressed("Madrid")).toBe("true");
  expect(await pressed("Tokyo")).toBe("false");
  expect(receiver.page.url()).toBe(link);
  await receiver.close();
});

test("every range is drawn with its own values", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=utc`);
  // Shortcuts work once the page has rendered.
  await waitForCharts(page);
  const totals = new Set<string>();
  for (const [key, range] of [
    ["2", "6h"],
    ["3", "24h"],
    ["4", "7d"],
    ["1", "1h"],
  ] as const) {
    await page.keyboard.press(key);
    expect(page.url()).toContain(`range=${range}`);
    await page.waitForFunction(() => !document.querySelector('[data-panel="error_rate"] [aria-busy=true]'));
    const text = await waitForPanel(page, "error_rate", (shown) => /of [\d,]+ events/.test(shown), 30_000);
    totals.add(/of ([\d,]+) events/.exec(text)?.[1] ?? "");
  }
  expect(totals.size).toBe(4);
  expect(errors).toEqual([]);
  await close();
});

test("wall mode fits the screen", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=6h&wall=1`, {
    viewport: { width: 1920, height: 1080 },
  });
  await page.waitForSelector('[data-panel="error_rate"] svg.recharts-surface');
  const size = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
  expect(size).toEqual([1920, 1080]);
  await close();
});

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function seriousViolations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() =>
    (window as unknown as { axe: { run: () => Promise<AxeResults> } }).axe.run(),
  );
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
}

describe.each(["dark", "light"] as const)("axe finds no serious violations in the %s theme", (colorScheme) => {
  test("on the dashboard, with a menu open", async () => {
    const { page, close } = await openPage(env.browser, `${env.url}/?range=6h`, { colorScheme });
    await waitForCharts(page);
    expect(await seriousViolations(page)).toEqual([]);
    await page.locator('[data-panel="active_users"] [aria-haspopup=menu]').click();
    expect(await seriousViolations(page)).toEqual([]);
    await close();
  });

  test("in the table, the enlarged panel and the help", async () => {
    const { page, close } = await openPage(env.browser, `${env.url}/?range=6h&panel=signup_funnel`, { colorScheme });
    await page.waitForSelector("dialog[open] svg.recharts-surface");
    expect(await seriousViolations(page)).toEqual([]);
    await page.locator("dialog [aria-haspopup=menu]").click();
    await page.getByRole("menuitem", { name: "Show as table" }).click();
    expect(await seriousViolations(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    expect(await seriousViolations(page)).toEqual([]);
    await close();
  });
});

test.runIf(process.env.SCREENSHOTS === "1")("screenshots for the documentation", async () => {
  const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
  await mkdir(docs, { recursive: true });
  const shots = [
    ["dashboard-dark", { colorScheme: "dark", viewport: { width: WIDTHS.desktop, height: 1000 } }],
    ["dashboard-light", { colorScheme: "light", viewport: { width: WIDTHS.desktop, height: 1000 } }],
    ["dashboard-phone", { colorScheme: "dark", viewport: { width: WIDTHS.phone, height: 844 } }],
  ] as const;
  for (const [name, options] of shots) {
    const { page, close } = await openPage(env.browser, `${env.url}/?range=6h`, options);
    await waitForCharts(page);
    await page.waitForSelector('[data-status="green"]', { timeout: 30_000 });
    await page.waitForTimeout(1_500);
    await page.screenshot({ path: `${docs}${name}.png`, fullPage: name !== "dashboard-phone" });
    await close();
  }
});
