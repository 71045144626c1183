// Explore: a question in the address, its figures against gRPC, the states without figures, and saving.

import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { Aggregation, ExploreService } from "../src/gen/millrace/v1/explore_pb.ts";
import { TimeRange } from "../src/gen/millrace/v1/range_pb.ts";
import { openPage, WIDTHS } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { eventually } from "./hooks.ts";
import { accessibilityViolations } from "./layout.ts";
import { generateEvents } from "./server.ts";

// No traffic during the tests, so that the page and gRPC return the same values.
const env = testEnvironment((url) => generateEvents(url, "--rate", "0.3", "--backfill", "3d", "--duration", "1s"), {
  MILLRACE_INSIGHTS_DIR: mkdtempSync(join(tmpdir(), "millrace-insights-")),
});

const ZONE = "Europe/Madrid";
const RANGE = { timeRange: TimeRange.TIME_RANGE_7D, timeZone: ZONE };
const explore = () => createClient(ExploreService, createGrpcTransport({ baseUrl: env.url }));
const number = (value: number | bigint) => new Intl.NumberFormat("en-GB").format(value);

const open = (query: string, options = {}) =>
  openPage(env.browser, `${env.url}/explore?range=7d&zone=${ZONE}${query}`, options);
const settled = (page: Page) => page.locator("[data-state=done]").waitFor({ timeout: 30_000 });
/** The figure in the row of the table, as the page writes it. */
const figure = (page: Page, row: string) =>
  page.getByRole("row", { name: row }).getByRole("button").first().innerText();

test("a starter becomes a question, and its figure is that of gRPC and of the list of people", async () => {
  const { page, errors, close } = await open("");
  await page.getByRole("button", { name: /How many go from signup_started to signup_completed/ }).click();
  await page.waitForURL(/q=funnel&s=signup_started&s=signup_completed/);
  await settled(page);
  const steps = [{ eventName: "signup_started" }, { eventName: "signup_completed" }];
  const { overall } = await explore().queryFunnel({ steps, range: RANGE });
  expect(await figure(page, "Everyone")).toBe(number(overall?.steps[0]?.count ?? 0n));
  await page.getByRole("row", { name: "Everyone" }).getByRole("button").nth(1).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(`${number(overall?.steps[1]?.count ?? 0n)} people · signup_completed`).waitFor();
  expect(await accessibilityViolations(page)).toEqual([]);
  expect(errors).toEqual([]);
  await close();
});

test("a link shows the same question: measure, breakdown, filter and chart", async () => {
  const { page, errors, close } = await open(
    "&s=page_view+visitors&where=device_type+is+desktop+mobile&by=country_code&top=3&chart=ranking",
  );
  await settled(page);
  const { lines } = await explore().queryTrend({
    series: [
      {
        eventName: "page_view",
        aggregation: Aggregation.VISITORS,
        filter: {
          condition: { case: "field", value: { field: "device_type", values: ["desktop", "mobile"] } },
        },
      },
    ],
    breakdown: ["country_code"],
    limit: 3,
    range: RANGE,
  });
  expect(await page.locator("tbody tr").count()).toBe(lines.length);
  const shown = await page.locator("tbody tr td:nth-child(2)").allInnerTexts();
  expect(shown).toEqual(lines.map(({ total }) => number(total?.value ?? 0)));
  expect(errors).toEqual([]);
  await close();
});

test("without rows, the filter that removes everything is named and removed", async () => {
  const { page, errors, close } = await open("&s=login&where=country_code+is+XX");
  await page.getByText("Without “country is XX”:").waitFor({ timeout: 30_000 });
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.waitForURL((url) => !url.search.includes("where"));
  await settled(page);
  await page.getByRole("row", { name: "login" }).waitFor();
  expect(errors).toEqual([]);
  await close();
});

test("the question is built with the pickers, which open where something is added", async () => {
  const { page, errors, close } = await open("&s=login");
  await settled(page);
  await page.getByRole("button", { name: "Condition" }).click();
  await page.getByText("Applied once it is complete").waitFor();
  await page.getByRole("option", { name: /^device type/ }).click();
  await page
    .getByRole("combobox", { name: "Value" })
    .or(page.getByLabel("Value", { exact: true }))
    .fill("mobile");
  await page.keyboard.press("Enter");
  await page.waitForURL(/where=device_type\+is\+mobile/);
  await settled(page);
  await page.getByRole("button", { name: /^Break down by/ }).click();
  await page.getByRole("option", { name: /^country/ }).click();
  await page.waitForURL(/by=country_code/);
  await settled(page);
  expect(await accessibilityViolations(page)).toEqual([]);
  expect(errors).toEqual([]);
  await close();
});

test("an insight is saved, opened by its name, and changed", async () => {
  const { page, errors, close } = await open("&s=login&by=device_type");
  await settled(page);
  await page.getByRole("button", { name: "Save", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Save as insight" });
  await dialog.getByLabel("Title").fill("Log-ins by device");
  await dialog.getByRole("button", { name: "Save", exact: true }).click();
  await page.waitForURL(/insight=log-ins-by-device/);
  // Not that of the toast, which has its title in quotation marks.
  await page.getByRole("heading", { name: "Log-ins by device", exact: true }).waitFor();
  await settled(page);
  await page.getByRole("button", { name: "Totals" }).click();
  await page.getByText("unsaved changes").waitFor();
  await page.getByRole("button", { name: "Discard changes" }).click();
  await page.waitForURL((url) => !url.search.includes("chart"));
  expect(errors).toEqual([]);
  await close();
});

const PICTURES = {
  "trend-lines": "&s=page_view&s=login",
  "trend-totals": "&s=page_view&by=country_code&chart=ranking",
  "trend-numbers": "&s=page_view&s=login&chart=number",
  "funnel-steps": "&q=funnel&s=signup_started&s=signup_completed",
  "funnel-time": "&q=funnel&s=signup_started&s=signup_completed&chart=time",
  "retention-grid": "&q=retention&s=page_view&s=page_view&period=day",
  "retention-curve": "&q=retention&s=page_view&s=page_view&period=day&chart=line&by=device_type",
  "paths-flow": "&q=paths&s=page_view&only=page_view&only=login&only=feature_used",
};

test.each(["dark", "light"] as const)("a picture of each chart has it drawn, in the %s theme", async (colorScheme) => {
  const { page, errors, close } = await open("", { colorScheme });
  for (const [name, question] of Object.entries(PICTURES)) {
    await page.goto(`${env.url}/explore?range=7d&zone=${ZONE}${question}`);
    await settled(page);
    await page.locator(".explore-result [data-chart]").first().waitFor();
    await page.locator(".explore-result .skeleton").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "More actions" }).click();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("menuitem", { name: "PNG of the chart" }).click(),
    ]);
    const content = await readFile(await file.path());
    if (process.env.KEEP_PNG) await writeFile(`${process.env.KEEP_PNG}/${name}-${colorScheme}.png`, content);
    const { background, marks } = await page.evaluate(pixelsOf, content.toString("base64"));
    expect(background, name).toBe(colorScheme === "dark" ? "17,22,29" : "255,255,255");
    // A table has none.
    expect(marks, name).toBeGreaterThan(500);
  }
  expect(errors).toEqual([]);
  await close();
});

/** In the page: the colour of the background, and how many pixels have more colour than texts and lines. */
async function pixelsOf(base64: string): Promise<{ background: string; marks: number }> {
  const image = new Image();
  image.src = `data:image/png;base64,${base64}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("no canvas");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  let marks = 0;
  for (let at = 0; at < data.length; at += 4) {
    const color = data.subarray(at, at + 3);
    if (Math.max(...color) - Math.min(...color) > 34) marks += 1;
  }
  return { background: data.slice(0, 3).join(), marks };
}

test("SQL is written with completion, and run", async () => {
  const { page, errors, close } = await open("&q=sql");
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByRole("cell", { name: "page_view" }).waitFor({ timeout: 30_000 });
  const editor = page.getByLabel("SQL statement");
  await editor.fill("SELECT cunt() FROM events");
  await page.keyboard.press("Control+Enter");
  await page.getByRole("alert").getByText("Line 1:").waitFor();
  expect(await accessibilityViolations(page)).toEqual([]);
  expect(errors).toEqual([]);
  await close();
});

test("a parameter of a statement has a field, is in the address and in the copied command, and out of bounds is said", async () => {
  const { page, errors, close } = await open("&q=sql");
  await page.getByLabel("SQL statement").fill(
    `-- parameter: most UInt16 = 3 from 1 to 5: how many events
SELECT event_name, count() FROM events GROUP BY 1 ORDER BY 2 DESC LIMIT {most:UInt16}`,
  );
  const field = page.getByRole("textbox", { name: "most" });
  await field.fill("2");
  await field.press("Enter");
  await page.waitForURL(/set=most:2/);
  // With its header.
  const rows = page.locator(".explore-sql-result").getByRole("row");
  await eventually(
    "rows",
    () => rows.count(),
    (count) => count === 3,
  );
  await page.reload();
  await eventually(
    "rows after a reload",
    () => rows.count(),
    (count) => count === 3,
  );
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy as curl" }).click();
  await page.getByText("The command is copied").waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const { frame } = JSON.parse(execFileSync("sh", ["-c", command.replace("curl", "curl -s")], { encoding: "utf8" }));
  expect(frame.rows).toBe(2);
  await field.fill("9");
  await field.press("Enter");
  await page.getByText("is invalid; expected an integer from 1 to 5").waitFor();
  expect(await accessibilityViolations(page)).toEqual([]);
  expect(errors).toEqual([]);
  await close();
});

test.each(
  Object.values(WIDTHS).flatMap((width) => (["dark", "light"] as const).map((scheme) => [width, scheme] as const)),
)("at %i px, %s, a compared funnel fits and is accessible", async (width, colorScheme) => {
  const query = "&compare=previous&q=funnel&s=signup_started&s=signup_completed&by=device_type";
  const { page, errors, close } = await open(query, { viewport: { width, height: 900 }, colorScheme });
  await settled(page);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
  expect(await accessibilityViolations(page)).toEqual([]);
  expect(errors).toEqual([]);
  await close();
});
