// A panel file in MILLRACE_PANELS_DIR appears without a reload and disappears with its file. A broken file is listed with
// its line.

import { afterAll, expect, test } from "vitest";
import { openPage, waitForPanel } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { card, markDocument, waitForFigures, wasReloaded } from "./hooks.ts";
import { ALL_EVENTS, type PanelFile, panelFolder } from "./panelFiles.ts";
import { generateEvents } from "./server.ts";

const folder = panelFolder();
afterAll(() => folder.close());
const env = testEnvironment((url) => generateEvents(url, "--rate", "20", "--backfill", "10m", "--duration", "1s"), {
  MILLRACE_PANELS_DIR: folder.path,
});

/** The server looks for changed files every few seconds. */
const APPEARS_MS = 60_000;

const byMinute = (event: string) =>
  `SELECT toDateTime(bucket, 'UTC') AS minute, sum(rows.events) AS events FROM {{series('${event}')}} AS rows GROUP BY bucket ORDER BY bucket`;

const byValue = (event: string, dimension: string) =>
  `SELECT value AS ${dimension}, sum(rows.events) AS events FROM {{total('${event}', '${dimension}')}} AS rows GROUP BY value ORDER BY events DESC`;

const PANELS: [panel: PanelFile, drawn: string][] = [
  [
    {
      name: "all_events",
      title: "All events",
      chart: "number",
      sql: ALL_EVENTS,
    },
    "[data-figure]",
  ],
  [{ name: "events_by_minute", title: "Events per minute", chart: "line", sql: byMinute("") }, '[data-chart="line"]'],
  [
    { name: "errors_by_minute", title: "Errors per minute", chart: "bar", sql: byMinute("error_occurred") },
    '[data-chart="bar"]',
  ],
  [
    {
      name: "feature_events",
      title: "Events by feature",
      chart: "horizontal-bar",
      sql: byValue("feature_used", "feature"),
    },
    '[data-chart="horizontal-bar"]',
  ],
  [
    {
      name: "pages",
      title: "Pages",
      chart: "table",
      sql: byValue("page_view", "page_url"),
    },
    "table, [role=table], [role=grid]",
  ],
];

test("panels appear and disappear with their files without a reload", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=utc`);
  await waitForFigures(page);
  await markDocument(page);

  for (const [panel] of PANELS) folder.write(panel);
  folder.write({ name: "bad", title: "Bad", chart: "pie", sql: "SELECT 1" });
  for (const [{ name, title }, drawn] of PANELS) {
    await card(page, name).locator(drawn).first().waitFor({ timeout: APPEARS_MS, state: "attached" });
    await waitForPanel(page, name, (text) => text.includes(title));
  }
  // Folded, below the panels.
  const broken = page.getByText(/\bbad\.sql(:\d+)?/).first();
  await broken.waitFor({ timeout: APPEARS_MS, state: "attached" });
  expect(await broken.textContent()).toMatch(/bad\.sql:\d+/);
  const positions = await page.evaluate(() => {
    const notice = [...document.querySelectorAll("details")].find((details) =>
      details.textContent?.includes("bad.sql"),
    );
    return {
      notice: notice?.getBoundingClientRect(),
      firstCard: document.querySelector("[data-panel]")?.getBoundingClientRect().top,
    };
  });
  expect(positions.notice?.top, "below the figures").toBeGreaterThan(positions.firstCard ?? Number.NaN);
  expect(positions.notice?.height, "folded").toBeLessThan(60);
  await waitForFigures(page);
  if (process.env.KEEP_PNG)
    await page.screenshot({ path: `${process.env.KEEP_PNG}/custom-panels.png`, fullPage: true });

  for (const [{ name }] of PANELS) folder.remove(name);
  folder.remove("bad");
  for (const [{ name }] of PANELS) await card(page, name).waitFor({ timeout: APPEARS_MS, state: "detached" });
  await broken.waitFor({ timeout: APPEARS_MS, state: "detached" });
  expect(await wasReloaded(page)).toBe(false);
  expect(errors).toEqual([]);
  await close();
});
