// Dashboards: the overview, its editor with files, conflicts, and the list.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, expect, test } from "vitest";
import { openPage, WIDTHS } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { card, eventually, waitForFigures } from "./hooks.ts";
import { accessibilityViolations, textsOutsideCards } from "./layout.ts";
import { generateEvents } from "./server.ts";

const folder = await mkdtemp(join(tmpdir(), "millrace-insights-"));
await mkdir(join(folder, "dashboards"));
const file = (name: string) => join(folder, "dashboards", `${name}.yaml`);
const env = testEnvironment((url) => generateEvents(url, "--rate", "0.5", "--backfill", "24h", "--duration", "1s"), {
  MILLRACE_INSIGHTS_DIR: folder,
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const figures = (page: Page) =>
  page.locator("[data-key-figure]").evaluateAll((all) => all.map((each) => (each as HTMLElement).dataset.keyFigure));
const unsaved = (page: Page) => page.locator("[data-unsaved]").getAttribute("data-unsaved");

test("the first screen has six figures, the main chart and the beginning of the rankings", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=24h`, {
    viewport: { width: 1440, height: 900 },
  });
  await waitForFigures(page);
  expect(await figures(page)).toHaveLength(6);
  const main = await page.locator("[data-main]").boundingBox();
  expect((main?.y ?? 0) + (main?.height ?? 0)).toBeLessThan(900);
  const list = await card(page, "top_pages").boundingBox();
  expect(list?.y).toBeLessThan(800);
  await page.getByRole("button", { name: "Error rate", exact: true, pressed: false }).click();
  await page.locator('[data-main] [data-panel="error_rate"]').waitFor();
  expect(page.url()).toContain("main=panel:error_rate");
  await page.goBack();
  await page.locator('[data-main] [data-panel="active_users"]').waitFor();
  expect(errors).toEqual([]);
  await close();
});

test.each(Object.entries(WIDTHS))(
  "no text leaves its card and axe finds nothing at the width of a %s",
  async (_, width) => {
    const { page, close } = await openPage(env.browser, `${env.url}/?range=24h`, { viewport: { width, height: 900 } });
    await waitForFigures(page);
    expect(await textsOutsideCards(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    expect(await accessibilityViolations(page)).toEqual([]);
    await page.goto(`${env.url}/dashboards`);
    await page.locator("[data-dashboard=default]").waitFor();
    expect(await accessibilityViolations(page)).toEqual([]);
    await close();
  },
);

test("a drag over a chart is a range in the address, and the Back button returns", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=24h`);
  await waitForFigures(page);
  const box = await card(page, "active_users").locator(".u-over").boundingBox();
  if (!box) throw new Error("no chart");
  await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 50, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/from=.*to=/);
  await page.goBack();
  await page.waitForURL(/range=24h/);
  await close();
});

test("a dashboard is edited with the keyboard, saved to its file, and another page shows it at once", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=24h`, {
    viewport: { width: 1440, height: 900 },
  });
  const viewer = await openPage(env.browser, `${env.url}/?range=24h`);
  await waitForFigures(viewer.page);
  await waitForFigures(page);
  await page.locator("body").press("e");
  await page.getByRole("button", { name: "Move Top features" }).press("Shift+ArrowUp");
  await page.getByRole("button", { name: "Top pages: actions" }).click();
  await page.getByRole("menuitem", { name: "Remove from the dashboard" }).click();
  expect(await unsaved(page)).not.toBe("0");
  expect(await accessibilityViolations(page)).toEqual([]);
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("dialog").locator("strong", { hasText: "Top pages removed" }).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Save", exact: true }).click();
  await card(viewer.page, "top_pages").waitFor({ state: "detached" });
  const saved = await readFile(file("default"), "utf8");
  expect(saved).toContain("panel: active_users");
  expect(saved).not.toContain("top_pages");
  await viewer.close();
  await close();
});

test("a reload keeps the draft; a file that changed meanwhile is a conflict, and the own version becomes a copy", async () => {
  await writeFile(
    file("shop"),
    "title: Shop\nitems:\n  - panel: error_rate\n    layout: {x: 0, y: 0, width: 6, height: 4}\n",
  );
  const { page, close } = await openPage(env.browser, `${env.url}/dashboards`, {
    viewport: { width: 1440, height: 900 },
  });
  await page.locator("[data-dashboard=shop]").waitFor();
  await page.goto(`${env.url}/dashboards/shop?edit=1`);
  await page.getByRole("button", { name: "Move Error rate" }).press("Shift+ArrowRight");
  await eventually(
    "one change",
    () => unsaved(page),
    (count) => count === "1",
  );
  page.on("dialog", (dialog) => void dialog.accept());
  await page.reload();
  await page.locator("[data-draft]").waitFor();
  expect(await unsaved(page)).toBe("1");
  await writeFile(
    file("shop"),
    "title: Shop, Madrid\nitems:\n  - panel: error_rate\n    layout: {x: 0, y: 0, width: 6, height: 4}\n",
  );
  await page.getByText("The dashboard has been saved since").waitFor();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Save", exact: true }).click();
  await page.locator("[data-conflict] ins", { hasText: "Shop, Madrid" }).waitFor();
  await page.getByRole("button", { name: "Save mine as a copy" }).click();
  await page.waitForURL(/dashboards\/shop-2/);
  expect(await readFile(file("shop-2"), "utf8")).toContain("width: 7");
  expect(await readFile(file("shop"), "utf8")).toContain("Madrid");
  await close();
});

test("a dashboard opens with its own range, also on a wall, and the chart of its question is changed", async () => {
  await writeFile(
    file("own"),
    `title: Own
range: {time_range: 24h}
items:
  - title: Views
    trend: {series: [{event_name: page_view}]}
    layout: {x: 0, y: 0, width: 12, height: 5}
`,
  );
  // The server has read the file.
  await expect.poll(async () => (await fetch(`${env.url}/api/dashboards/own`)).status, { timeout: 30_000 }).toBe(200);
  const { page, close } = await openPage(env.browser, `${env.url}/dashboards/own?zone=utc`, {
    viewport: { width: 1440, height: 900 },
  });
  await page.waitForURL(/\/dashboards\/own\?range=24h&zone=utc$/);
  await waitForFigures(page);
  await page.goto(`${env.url}/dashboards/own?range=6h&zone=utc`);
  await waitForFigures(page);
  expect(page.url()).toContain("?range=6h&");
  await page.goto(`${env.url}/?zone=utc&wall=1&rotate=own`);
  await page.waitForURL(/\/dashboards\/own\?range=24h&zone=utc&wall=1&rotate=own&own=1$/);
  await waitForFigures(page);
  expect(await page.locator(".kiosk-bar").innerText()).toContain("Last 24 hours");

  await page.goto(`${env.url}/dashboards/own?edit=1`);
  await page.getByRole("button", { name: "Views: actions" }).click();
  await page.getByRole("menuitem", { name: "Chart" }).click();
  await page.getByRole("dialog").getByRole("radio", { name: "Bars" }).check();
  expect(await accessibilityViolations(page)).toEqual([]);
  await page.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
  await page.locator('[data-chart="bar"]').waitFor();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  const review = page.getByRole("dialog").locator("[data-changes]");
  expect((await review.innerText()).replaceAll(/\s+/g, " ")).toBe("Views Chart was Lines → becomes Bars");
  expect(await accessibilityViolations(page)).toEqual([]);
  await page.getByRole("dialog").getByRole("button", { name: "Save", exact: true }).click();
  await page.waitForURL((url) => !url.search.includes("edit"));
  expect(await readFile(file("own"), "utf8")).toContain("chart: bar");
  await close();
});

test("a dashboard is made from a template, and deleted", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/dashboards`);
  await page.getByRole("button", { name: "New dashboard" }).click();
  await page.locator("[data-template=reliability]").click();
  await page.getByRole("button", { name: "Create" }).click();
  await page.waitForURL(/dashboards\/reliability\?.*edit=1/);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.locator("[data-key-figure]").first().waitFor();
  await page.goto(`${env.url}/dashboards`);
  await page.getByRole("button", { name: "Reliability: actions" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.locator("[data-dashboard=reliability]").waitFor({ state: "detached" });
  await close();
});
