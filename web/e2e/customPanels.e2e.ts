// A panel file in MILLRACE_PANELS_DIR appears without a reload and disappears with its file. A broken file is listed with
// its line.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openPage, waitForPanel } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { generateEvents } from "./server.ts";

const panelsDir = mkdtempSync(join(tmpdir(), "millrace-panels-"));
afterAll(() => rmSync(panelsDir, { recursive: true, force: true }));
const env = testEnvironment((url) => generateEvents(url, "--rate", "20", "--backfill", "10m", "--duration", "1s"), {
  MILLRACE_PANELS_DIR: panelsDir,
});

const header = (title: string, chart: string) => `-- title: ${title}
-- description: A test panel
-- unit: events
-- chart: ${chart}
-- refresh: 5s
`;

const RANGE = "minute >= {range_start:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')}";

const PANELS: [name: string, title: string, chart: string, sql: string, expected: string][] = [
  [
    "all_events",
    "All events",
    "number",
    `SELECT sum(events) AS events FROM minutes WHERE ${RANGE}`,
    ".headline-number",
  ],
  [
    "events_by_minute",
    "Events per minute",
    "line",
    `SELECT minute, sum(events) AS events FROM minutes WHERE ${RANGE} GROUP BY minute ORDER BY minute`,
    "svg .recharts-line path",
  ],
  [
    "errors_by_minute",
    "Errors per minute",
    "bar",
    `SELECT minute, sum(errors) AS errors FROM minutes WHERE ${RANGE} GROUP BY minute ORDER BY minute`,
    "svg .recharts-bar path",
  ],
  [
    "feature_events",
    "Events by feature",
    "horizontal-bar",
    `SELECT feature, sum(events) AS events FROM feature_minutes WHERE ${RANGE} GROUP BY feature ORDER BY events DESC`,
    "svg .recharts-bar path",
  ],
  [
    "pages",
    "Pages",
    "table",
    `SELECT page_url, sum(views) AS views FROM page_minutes WHERE ${RANGE} GROUP BY page_url ORDER BY page_url`,
    "table",
  ],
];

test("panels appear and disappear with their files without a reload", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=utc`);
  await waitForPanel(page, "top_pages", (text) => text.includes("/pricing"), 30_000);
  await page.evaluate(() => Object.assign(window, { notReloaded: true }));

  for (const [name, title, chart, sql] of PANELS)
    writeFileSync(join(panelsDir, `${name}.sql`), `${header(title, chart)}${sql}\n`);
  writeFileSync(join(panelsDir, "bad.sql"), `${header("Bad", "pie")}SELECT 1\n`);
  for (const [name, title, , , expected] of PANELS) {
    await page.waitForSelector(`[data-panel="${name}"] ${expected}`, { timeout: 40_000, state: "attached" });
    await waitForPanel(page, name, (text) => text.includes(title));
  }
  const notice = page.getByRole("region", { name: "Broken panel files" });
  await notice.waitFor({ timeout: 40_000 });
  expect(await notice.innerText()).toMatch(/bad\.sql:\d+/);
  if (process.env.KEEP_PNG)
    await page.screenshot({ path: `${process.env.KEEP_PNG}/custom-panels.png`, fullPage: true });

  for (const [name] of PANELS) rmSync(join(panelsDir, `${name}.sql`));
  rmSync(join(panelsDir, "bad.sql"));
  for (const [name] of PANELS) {
    await page.waitForSelector(`[data-panel="${name}"]`, { timeout: 40_000, state: "detached" });
  }
  expect(await notice.count()).toBe(0);
  expect(await page.evaluate(() => "notReloaded" in window)).toBe(true);
  expect(errors).toEqual([]);
  await close();
});
