// Ranges, comparisons and filters of the page, against the values of the gRPC API.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import {
  type QueryPanelRequest,
  type QueryPanelRequestSchema,
  ResultFormat,
} from "../src/gen/millrace/v1/dashboard_pb.ts";
import { Compare, TimeRange } from "../src/gen/millrace/v1/range_pb.ts";
import { openPage, WIDTHS } from "./browser.ts";
import { dashboard } from "./client.ts";
import { testEnvironment } from "./environment.ts";
import { card, eventually, figure, waitForCharts, waitForFigures } from "./hooks.ts";
import { accessibilityViolations, textsOutsideCards } from "./layout.ts";
import { generateEvents } from "./server.ts";

// No traffic during the tests, so that the page and gRPC return the same values.
const env = testEnvironment((url) => generateEvents(url, "--rate", "0.1", "--backfill", "9d", "--duration", "1s"));

const ZONE = "Europe/Madrid";
const DAY = 86_400_000;

type Request = Exclude<MessageInitShape<typeof QueryPanelRequestSchema>, QueryPanelRequest>;

async function frameOf(request: Request) {
  const { frame } = await dashboard(env.url).queryPanel({
    timeZone: ZONE,
    resultFormat: ResultFormat.FRAME,
    ...request,
  });
  if (!frame) throw new Error("no frame was returned");
  return frame;
}

/** A figure of a frame as the page writes it. */
async function figureOf(request: Request, index: number): Promise<string> {
  const value = (await frameOf(request)).figures[index]?.value.value;
  return new Intl.NumberFormat("en-GB").format(value as bigint);
}

/** The count of events of the error rate panel: its third figure. */
const events = (page: Page) => card(page, "error_rate").locator("[data-figure]").nth(2).innerText();
const expectEvents = (page: Page, request: Omit<Request, "panel">) =>
  eventually(
    "the events of the page and of gRPC",
    async () => [await events(page), await figureOf({ panel: "error_rate", ...request }, 2)],
    ([shown, expected]) => shown === expected,
  );

async function choose(page: Page, select: RegExp, option: string): Promise<void> {
  await page.getByRole("button", { name: select }).click();
  await page.getByRole("option", { name: option, exact: true }).click();
}

test.each([
  ["Last 30 days", "30d", TimeRange.TIME_RANGE_30D],
  ["Last 90 days", "90d", TimeRange.TIME_RANGE_90D],
  ["Today", "today", TimeRange.TIME_RANGE_TODAY],
  ["Yesterday", "yesterday", TimeRange.TIME_RANGE_YESTERDAY],
  ["This week", "this-week", TimeRange.TIME_RANGE_THIS_WEEK],
  ["This month", "this-month", TimeRange.TIME_RANGE_THIS_MONTH],
])("%s is chosen from the list and drawn with its own values", async (title, range, timeRange) => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=${ZONE}`);
  await waitForFigures(page);
  await page.locator("[data-range]").click();
  await page.getByRole("button", { name: title, exact: true }).click();
  await page.waitForURL(new RegExp(`range=${range}`));
  await waitForCharts(page);
  await expectEvents(page, { timeRange });
  expect(errors).toEqual([]);
  await close();
});

test("a custom range is entered, has no running bucket, and survives as a link", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=7d&zone=${ZONE}`);
  await waitForFigures(page);
  await page.locator("[data-range]").click();
  await page.getByRole("checkbox", { name: /^Until now/ }).uncheck();
  const day = (ago: number) => new Date(Date.now() - ago * DAY).toISOString().slice(0, 10);
  await page.getByLabel("From", { exact: true }).fill(`${day(5)}T10:00`);
  await page.getByLabel("To", { exact: true }).fill(`${day(3)}T18:30`);
  await page.getByRole("button", { name: "Apply" }).click();
  await page.waitForURL(/from=.*to=/);
  await waitForCharts(page);
  const offset = new Date(`${day(5)}T10:00Z`).toLocaleString("en-GB", { timeZone: ZONE, timeZoneName: "longOffset" });
  const zone = /GMT([+-]\d\d:\d\d)/.exec(offset)?.[1] ?? "Z";
  const interval = {
    start: timestampFromMs(Date.parse(`${day(5)}T10:00${zone}`)),
    end: timestampFromMs(Date.parse(`${day(3)}T18:30${zone}`)),
  };
  await expectEvents(page, { interval });
  expect(await page.locator("[data-shown-span]").innerText()).toMatch(/10:00 – .*18:30$/);
  expect((await frameOf({ panel: "error_rate", interval })).context?.partialFrom).toBeUndefined();
  const link = page.url();
  await close();

  const receiver = await openPage(env.browser, link, { timezoneId: "Asia/Tokyo" });
  await waitForFigures(receiver.page);
  await expectEvents(receiver.page, { interval });
  expect(receiver.page.url()).toBe(link);
  expect(errors).toEqual([]);
  await receiver.close();
});

test("a comparison is on figures, charts, tooltip and table", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=24h&zone=${ZONE}`);
  await waitForFigures(page);
  await choose(page, /^Compare/, "vs a week ago");
  await page.waitForURL(/compare=week/);
  await waitForCharts(page);
  const request = { panel: "signup_funnel", timeRange: TimeRange.TIME_RANGE_24H, compare: Compare.WEEK_AGO };
  const funnel = await frameOf(request);
  expect(funnel.comparison?.rows).toBeGreaterThan(0);
  const label = funnel.figures[0]?.comparison?.label ?? "none";
  // It is not on the built-in dashboard, which has the conversion of people in its place.
  await page.goto(`${page.url()}&panel=signup_funnel`);
  const panel = card(page, "signup_funnel");
  await panel.locator("[data-chart]").waitFor();
  expect(await panel.innerText()).toContain(`vs ${label}`);
  expect(await panel.innerText()).toMatch(/dashed: /);
  expect(await page.locator("[data-shown-span]").innerText()).toContain("compared with");
  // All panels are shown, also those that cannot be compared.
  expect(await page.locator("[data-failure]").count()).toBe(0);
  await panel.locator("[data-chart] .u-over").hover();
  await panel.locator("[data-tooltip]").getByText("compared with").waitFor();
  await panel.locator("[aria-haspopup=menu]").click();
  await page.getByRole("menuitem", { name: "Show as table" }).click();
  await panel.getByRole("columnheader", { name: /^Started \(compared\)/ }).waitFor();
  expect(errors).toEqual([]);
  await close();
});

test("a click on a page filters all panels by it, and the chip removes the filter", async () => {
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=7d&zone=${ZONE}`);
  await waitForCharts(page);
  const timeRange = TimeRange.TIME_RANGE_7D;
  const all = await figure(page, "error_rate");
  await card(page, "top_pages").getByRole("button", { name: "/pricing: filter by it" }).click();
  await page.waitForURL(/filter=page_url:\/pricing/);
  await waitForFigures(page);
  await expectEvents(page, { timeRange, filters: [{ dimension: "page_url", values: ["/pricing"] }] });
  expect(await accessibilityViolations(page)).toEqual([]);
  expect(await page.locator("[data-failure]").count()).toBe(0);

  await page.getByRole("button", { name: "Add filter" }).click();
  const form = page.getByRole("dialog", { name: "Add filter" });
  await form.getByLabel("Filter by").selectOption("country_code");
  await form.getByLabel("Value").fill("ES");
  expect(await accessibilityViolations(page), "with the form").toEqual([]);
  await form.getByRole("button", { name: "Add filter" }).click();
  await page.waitForURL(/filter=country_code:ES/);
  await waitForFigures(page);
  await expectEvents(page, {
    timeRange,
    filters: [
      { dimension: "page_url", values: ["/pricing"] },
      { dimension: "country_code", values: ["ES"] },
    ],
  });
  await page.getByRole("button", { name: "Remove the filter country: Spain" }).click();
  await page.getByRole("button", { name: "Remove the filter page url: /pricing" }).click();
  await page.waitForURL((url) => !url.search.includes("filter"));
  await waitForFigures(page);
  expect(await figure(page, "error_rate")).toBe(all);
  expect(errors).toEqual([]);
  await close();
});

test.each(Object.values(WIDTHS))("at %i px a comparison and filters fit", async (width) => {
  const query = "range=30d&compare=previous&filter=country_code:ES&filter=country_code:DE&filter=page_url:/pricing";
  const { page, errors, close } = await openPage(env.browser, `${env.url}/?zone=${ZONE}&${query}`, {
    viewport: { width, height: 900 },
  });
  await waitForCharts(page);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
  expect(await textsOutsideCards(page)).toEqual([]);
  expect(await accessibilityViolations(page)).toEqual([]);
  expect(errors).toEqual([]);
  await close();
});
