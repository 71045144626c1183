// Every panel shows the values of the gRPC API, updates with a new event and can be exported.

import { readFile } from "node:fs/promises";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { TimeRange } from "../src/gen/millrace/v1/range_pb.ts";
import { openPage, panelText, waitForPanel } from "./browser.ts";
import { dashboard, ingest, PANEL_REQUEST } from "./client.ts";
import { testEnvironment } from "./environment.ts";
import { chooseInMenu, markDocument, waitForFigures, wasReloaded } from "./hooks.ts";
import { generateEvents } from "./server.ts";

// Traffic ends before the tests, so that the page and gRPC return the same values.
const env = testEnvironment(async (url) => {
  await generateEvents(url, "--rate", "0.2", "--backfill", "2d", "--duration", "1s");
  await generateEvents(url, "--rate", "50", "--backfill", "10m", "--duration", "3s");
});

const formatNumber = (value: bigint | number) => new Intl.NumberFormat("en-GB").format(value);

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

const shown = (...values: (bigint | number)[]) => values.map(formatNumber);

test("each panel shows the values of the gRPC API", async () => {
  const client = dashboard(env.server.url);
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=Europe/Madrid`);
  await waitForFigures(page);

  await expectPanelToShow(page, "active_users", async () =>
    shown((await client.getActiveUsers(PANEL_REQUEST)).activeUsers),
  );
  await expectPanelToShow(page, "top_features", async () => {
    const { features } = await client.getTopFeatures(PANEL_REQUEST);
    expect(features.length).toBeGreaterThan(3);
    return features.flatMap(({ feature, uniqueUsers }) => [feature, formatNumber(uniqueUsers)]);
  });
  await expectPanelToShow(page, "error_rate", async () => {
    const { errors, events } = await errorTotals(PANEL_REQUEST);
    return shown(errors, events);
  });
  await expectPanelToShow(page, "live_visitors", async () => {
    const { uniqueVisitors, totalViews } = await client.getLiveVisitors(PANEL_REQUEST);
    return shown(uniqueVisitors, totalViews);
  });
  await expectPanelToShow(page, "traffic_anomaly", async () =>
    shown((await client.getTrafficAnomaly(PANEL_REQUEST)).currentViews),
  );
  await expectPanelToShow(page, "top_pages", async () => {
    const { pages } = await client.getTopPages(PANEL_REQUEST);
    return pages.slice(0, 5).flatMap(({ pageUrl, views, visitors }) => [pageUrl, ...shown(views, visitors)]);
  });
  await expectPanelToShow(page, "traffic_by_country", async () => {
    const { points } = await client.getTrafficByCountry(PANEL_REQUEST);
    const totals = new Map<string, bigint>();
    for (const { countryCode, views } of points) totals.set(countryCode, (totals.get(countryCode) ?? 0n) + views);
    totals.delete("ZZ");
    const names = new Intl.DisplayNames("en", { type: "region" });
    const leading = [...totals].sort(([, a], [, b]) => Number(b - a)).slice(0, 3);
    return leading.map(([code]) => names.of(code) ?? code);
  });
  // It is not on the built-in dashboard, which has the conversion of people in its place.
  await page.goto(`${env.url}/?range=1h&zone=Europe/Madrid&panel=signup_funnel`);
  await expectPanelToShow(page, "signup_funnel", async () => {
    const { started, completed } = await client.getSignupFunnel(PANEL_REQUEST);
    expect(started).toBeGreaterThan(0n);
    return shown(started, completed);
  });
  expect(errors).toEqual([]);
  await close();
});

async function errorTotals(request: { timeRange: TimeRange; timeZone: string }) {
  const { points } = await dashboard(env.server.url).getErrorRate(request);
  const sum = (field: (point: (typeof points)[number]) => bigint) =>
    points.reduce((total, point) => total + field(point), 0n);
  return { errors: sum((point) => point.errors), events: sum((point) => point.events) };
}

test("every range is drawn with its own values", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=utc`);
  await waitForFigures(page);
  const totals = new Set<bigint>();
  for (const [key, range, timeRange] of [
    ["2", "6h", TimeRange.TIME_RANGE_6H],
    ["3", "24h", TimeRange.TIME_RANGE_24H],
    ["4", "7d", TimeRange.TIME_RANGE_7D],
    ["1", "1h", TimeRange.TIME_RANGE_1H],
  ] as const) {
    await page.keyboard.press(key);
    await page.waitForURL(new RegExp(`range=${range}`));
    await waitForFigures(page);
    const request = { timeRange, timeZone: "UTC" };
    await expectPanelToShow(page, "error_rate", async () => shown((await errorTotals(request)).events));
    totals.add((await errorTotals(request)).events);
  }
  expect(totals.size).toBe(4);
  expect(errors).toEqual([]);
  await close();
});

test("new events update the page without a reload", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=Europe/Madrid`);
  await waitForFigures(page);
  await markDocument(page);
  // The page's own count. With each minute, the events of a minute leave the range: about 60, of which the test is independent.
  const events = (text: string) => Number(/events\s+([\d,]+)/.exec(text)?.[1]?.replaceAll(",", "") ?? Number.NaN);
  const before = events(await waitForPanel(page, "error_rate", (text) => events(text) > 0, 60_000));
  const batch = Array.from({ length: 500 }, (_, index) => ({
    eventName: "e2e_event",
    sessionId: `e2e-${index}`,
    timestamp: timestampFromMs(Date.now()),
  }));
  const sent = performance.now();
  await ingest(env.server.url).sendEvents({ events: batch });
  await waitForPanel(page, "error_rate", (text) => events(text) > before + 250, 60_000);
  console.log(`from sending events to their update on the page: ${Math.round(performance.now() - sent)} ms`);
  expect(await wasReloaded(page)).toBe(false);
  await close();
});

async function download(page: Page, panel: string, item: RegExp): Promise<{ name: string; content: Buffer }> {
  const [file] = await Promise.all([page.waitForEvent("download"), chooseInMenu(page, panel, item)]);
  return { name: file.suggestedFilename(), content: await readFile(await file.path()) };
}

test("the CSV contains the values of the gRPC API", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=utc`);
  await waitForPanel(page, "top_pages", (text) => text.includes("/pricing"));
  const { name, content } = await download(page, "top_pages", /csv/i);
  expect(name).toMatch(/^top_pages\b.*\.csv$/);
  const [header, ...lines] = content.toString().trim().split("\r\n");
  expect(header).toBe("page_url,views,visitors,avg_duration_ms");
  const { pages } = await dashboard(env.server.url).getTopPages(PANEL_REQUEST);
  const expected = pages.map((page) => [page.pageUrl, page.views, page.visitors, page.avgDurationMs].join(","));
  expect(expected.sort()).toEqual(expect.arrayContaining(lines.slice(0, 3)));
  await close();
});

// Key figures are text, without a picture.
test.each(["active_users", "top_features", "traffic_by_country", "top_pages"])(
  "the PNG of %s is not blank",
  async (panel) => {
    const { page, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=utc`);
    await waitForPanel(page, panel, (text) => /\d/.test(text));
    const { name, content } = await download(page, panel, /png/i);
    expect(name).toMatch(new RegExp(`^${panel}\\b.*\\.png$`));
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
  await chooseInMenu(page, "error_rate", /sql/i);
  const { panels } = await dashboard(env.server.url).listPanels({});
  const shownSql = page.getByRole("dialog").locator("pre").first();
  await shownSql.waitFor();
  expect(await shownSql.textContent()).toBe(panels.find(({ name }) => name === "error_rate")?.sql);
  await page.keyboard.press("Escape");
  await shownSql.waitFor({ state: "hidden" });
  await close();
});
