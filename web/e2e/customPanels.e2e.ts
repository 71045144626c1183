// A panel file that is put into MILLRACE_PANELS_DIR appears without a reload, drawn by its kind of chart, and goes with
// its file; one that cannot be used is named with its line.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { open, waitForPanel } from "./browser.ts";
import { stage } from "./environment.ts";
import { generate } from "./server.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-panels-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const on = stage((url) => generate(url, "--rate", "20", "--backfill", "10m", "--duration", "1s"), {
  MILLRACE_PANELS_DIR: folder,
});

const HEADER = (title: string, chart: string) => `-- title: ${title}
-- description: A panel of the tests
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
    "Events by the minute",
    "line",
    `SELECT minute, sum(events) AS events FROM minutes WHERE ${RANGE} GROUP BY minute ORDER BY minute`,
    "svg .recharts-line path",
  ],
  [
    "errors_by_minute",
    "Errors by the minute",
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

test("panels come and go with their files, without a reload", async () => {
  const { page, errors, close } = await open(on.browser, `${on.url}/?range=1h&zone=utc`);
  await waitForPanel(page, "top_pages", (text) => text.includes("/pricing"), 30_000);
  await page.evaluate(() => Object.assign(window, { notReloaded: true }));

  for (const [name, title, chart, sql] of PANELS)
    writeFileSync(join(folder, `${name}.sql`), `${HEADER(title, chart)}${sql}\n`);
  writeFileSync(join(folder, "bad.sql"), `${HEADER("Bad", "pie")}SELECT 1\n`);
  for (const [name, title, , , expected] of PANELS) {
    await page.waitForSelector(`[data-panel="${name}"] ${expected}`, { timeout: 40_000, state: "attached" });
    await waitForPanel(page, name, (text) => text.includes(title));
  }
  const notice = page.getByRole("region", { name: "Broken panel files" });
  await notice.waitFor({ timeout: 40_000 });
  expect(await notice.innerText()).toMatch(/bad\.sql:\d+/);
  if (process.env.KEEP_PNG) await page.screenshot({ path: `${process.env.KEEP_PNG}/dropped.png`, fullPage: true });

  for (const [name] of PANELS) rmSync(join(folder, `${name}.sql`));
  rmSync(join(folder, "bad.sql"));
  for (const [name] of PANELS) {
    await page.waitForSelector(`[data-panel="${name}"]`, { timeout: 40_000, state: "detached" });
  }
  expect(await notice.count()).toBe(0);
  expect(await page.evaluate(() => "notReloaded" in window)).toBe(true);
  expect(errors).toEqual([]);
  await close();
});
