// Every panel shows the values of the gRPC API, updates with a new event and can be exported.

import { readFile } from "node:fs/promises";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { openPage, panelText, waitForPanel } from "./browser.ts";
import { dashboard, ingest, PANEL_REQUEST } from "./client.ts";
import { testEnvironment } from "./environment.ts";
import { generateEvents } from "./server.ts";

// Traffic ends before the tests, so that the page and gRPC return the same values.
const env = testEnvironment((url) => generateEvents(url, "--rate", "50", "--backfill", "10m", "--duration", "3s"));

const formatNumber = (value: bigint | number) => new Intl.NumberFormat("en-GB").format(value);

/** Not toFixed: it rounds the binary value, so that 64.35 becomes 64.3. */
const formatFraction = (value: number, digits: number) =>
  new Intl.NumberFormat("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

/** Retries until the page shows the values of gRPC: panels over the last minutes change during the comparison. */
async function expectPanelToShow(page: Page, name: string, expected: () => Promise<string[]>): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const values = await expected();
    const text = (await panelText(page, name)).replaceAll("\u00a0", " ");
    const missing = values.filter((value) => !text.includes(value));
    if (missing.length === 0) return;
    if (Date.now() > deadline) throw new Error(`panel ${name} does not show ${missing.join(", ")}: ${text}`);
    await page.waitForTimeout(200);
  }
}

test("each panel shows the values of the gRPC API", async () => {
  const client = dashboard(env.server.url);
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=Europe/Madrid`);

  await expectPanelToShow(page, "active_users", async () => [
    formatNumber((await client.getActiveUsers(PANEL_REQUEST)).activeUsers),
  ]);
  await expectPanelToShow(page, "signup_funnel", async () => {
    const { started, completed, conversionPct = 0 } = await client.getSignupFunnel(PANEL_REQUEST);
    expect(started).toBeGreaterThan(0n);
    return [
      formatNumber(started),
      formatNumber(completed),
      `${formatFraction(conversionPct, conversionPct >= 10 ? 1 : 2)} %`,
    ];
  });
  await expectPanelToShow(page, "top_features", async () => {
    const { features } = await client.getTopFeatures(PANEL_REQUEST);
    expect(features.length).toBeGreaterThan(3);
    return features.flatMap(({ feature, uniqueUsers }) => [feature, formatNumber(uniqueUsers)]);
  });
  await expectPanelToShow(page, "error_rate", async () => {
    const { points, thresholdPct } = await client.getErrorRate(PANEL_REQUEST);
    const sum = (field: (point: (typeof points)[number]) => bigint) =>
      points.reduce((total, point) => total + field(point), 0n);
    const [errors, events] = [sum((point) => point.errors), sum((point) => point.events)];
    return [`${formatNumber(errors)} of ${formatNumber(events)} events`, `threshold ${thresholdPct} %`];
  });
  await expectPanelToShow(page, "live_visitors", async () => {
    const { uniqueVisitors, totalViews } = await client.getLiveVisitors(PANEL_REQUEST);
    return [formatNumber(uniqueVisitors), formatNumber(totalViews)];
  });
  await expectPanelToShow(page, "traffic_anomaly", async () => {
    const { currentViews, previousViews } = await client.getTrafficAnomaly(PANEL_REQUEST);
    return [formatNumber(currentViews), formatNumber(previousViews)];
  });
  await expectPanelToShow(page, "top_pages", async () => {
    const { pages } = await client.getTopPages(PANEL_REQUEST);
    return pages.flatMap(({ pageUrl, views, visitors }) => [pageUrl, formatNumber(views), formatNumber(visitors)]);
  });
  await expectPanelToShow(page, "traffic_by_country", async () => {
    const { points } = await client.getTrafficByCountry(PANEL_REQUEST);
    const totals = new Map<string, bigint>();
    for (const { countryCode, views } of points) totals.set(countryCode, (totals.get(countryCode) ?? 0n) + views);
    const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });
    const leading = [...totals.values()].sort((a, b) => Number(b - a)).slice(0, 5);
    return leading.map((views) => compact.format(views));
  });
  expect(errors).toEqual([]);
  await close();
});

test("a new event updates the page without a reload", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=Europe/Madrid`);
  const events = (text: string) => Number(/of ([\d,]+) events/.exec(text)?.[1]?.replaceAll(",", "") ?? Number.NaN);
  // Waits until all generated events have landed, so that the next increase is caused by this test's event.
  let before = 0n;
  for (let stable = 0; stable < 3; ) {
    const { points } = await dashboard(env.server.url).getErrorRate(PANEL_REQUEST);
    const total = points.reduce((sum, point) => sum + point.events, 0n);
    stable = total === before ? stable + 1 : 0;
    before = total;
    await page.waitForTimeout(700);
  }
  await waitForPanel(page, "error_rate", (text) => events(text) === Number(before), 30_000);
  const sent = performance.now();
  await ingest(env.server.url).sendEvents({
    events: [{ eventName: "page_view", sessionId: "e2e", timestamp: timestampFromMs(Date.now()) }],
  });
  await waitForPanel(page, "error_rate", (text) => events(text) === Number(before) + 1, 30_000);
  console.log(`from sending an event to its update on the page: ${Math.round(performance.now() - sent)} ms`);
  await close();
});

async function download(page: Page, panel: string, item: string): Promise<{ name: string; content: Buffer }> {
  await page.locator(`[data-panel="${panel}"] [aria-haspopup=menu]`).click();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: item }).click()]);
  return { name: file.suggestedFilename(), content: await readFile(await file.path()) };
}

test("the CSV contains the values of the gRPC API", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=utc`);
  await waitForPanel(page, "top_pages", (text) => text.includes("/pricing"));
  const { name, content } = await download(page, "top_pages", "Download CSV");
  expect(name).toMatch(/^top_pages-1h-\d{4}-\d\d-\d\dT\d{4}\.csv$/);
  const [header, ...lines] = content.toString().trim().split("\r\n");
  expect(header).toBe("page_url,views,visitors,avg_duration_ms");
  const { pages } = await dashboard(env.server.url).getTopPages(PANEL_REQUEST);
  const expected = pages.map((page) => [page.pageUrl, page.views, page.visitors, page.avgDurationMs].join(","));
  expect(expected.sort()).toEqual(expect.arrayContaining(lines.slice(0, 3)));
  await close();
});

test.each(["active_users", "signup_funnel", "top_features", "traffic_by_country", "live_visitors", "top_pages"])(
  "the PNG of %s is not blank",
  async (panel) => {
    const { page, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=utc`);
    await waitForPanel(page, panel, (text) => /\d/.test(text));
    const { name, content } = await download(page, panel, "Download PNG");
    expect(name).toMatch(new RegExp(`^${panel}-1h-.*\\.png$`));
    if (process.env.KEEP_PNG)
      await (await import("node:fs/promises")).writeFile(`${process.env.KEEP_PNG}/${name}`, content);
    const colours = await page.evaluate(async (base64) => {
      const image = new Image();
      image.src = `data:image/png;base64,${base64}`;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = image.width;
      canvas.height = image.height;
      const context = canvas.getContext("2d");
      context?.drawImage(image, 0, 0);
      const pixels = context?.getImageData(0, 0, image.width, image.height).data ?? [];
      const seen = new Set<string>();
      for (let i = 0; i < pixels.length; i += 40) seen.add(`${pixels[i]} ${pixels[i + 1]} ${pixels[i + 2]}`);
      return seen.size;
    }, content.toString("base64"));
    expect(colours).toBeGreaterThan(8);
    await close();
  },
);

test("the SQL dialog shows the SQL from ListPanels", async () => {
  const { page, close } = await openPage(env.browser, env.url);
  await waitForPanel(page, "error_rate", (text) => /\d/.test(text));
  await page.locator('[data-panel="error_rate"] [aria-haspopup=menu]').click();
  await page.getByRole("menuitem", { name: "Show SQL" }).click();
  const { panels } = await dashboard(env.server.url).listPanels({});
  expect(await page.locator("dialog pre").textContent()).toBe(panels.find(({ name }) => name === "error_rate")?.sql);
  await page.keyboard.press("Escape");
  expect(await page.locator("dialog[open]").count()).toBe(0);
  await close();
});
