// The page of data and health against a real server: events, dead letters, keys and settings; and annotations.

import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launch, openPage, WIDTHS } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { eventually, waitForCharts, waitForConnection } from "./hooks.ts";
import { accessibilityViolations } from "./layout.ts";
import { generateEvents, keysCommand, startServer, startTraffic, type TestServer } from "./server.ts";

const env = testEnvironment((url) => generateEvents(url, "--rate", "0.2", "--backfill", "2d", "--duration", "1s"));

const verdict = (page: Page) => page.locator("[data-mood]");
const openStatus = (options: Parameters<typeof openPage>[2] = {}) =>
  openPage(env.browser, `${env.url}/status`, options);

async function waitForEvents(page: Page): Promise<void> {
  await page.locator('[data-mood="good"]').waitFor();
  await page.getByRole("button", { name: "page_view" }).waitFor();
}

test("the rate of incoming events is that of the traffic, and an event shows its properties", async () => {
  const { page, errors, close } = await openStatus();
  await waitForEvents(page);
  const traffic = startTraffic(env.url, 20);
  await eventually(
    "the verdict",
    () => verdict(page).innerText(),
    (text) => /All good: [1-9][\d.,]* events\/s/.test(text),
  );
  await traffic.close();
  await page.getByRole("button", { name: "page_view" }).click();
  const properties = page.getByRole("table", { name: "Properties of page_view" });
  await properties.waitFor();
  expect(await properties.innerText()).toContain("page_url");
  await page.getByRole("searchbox", { name: "Search events" }).fill("no such event");
  await page.getByText("No event contains “no such event”.").waitFor();
  expect(errors).toEqual([]);
  await close();
});

test("freshness and the age of the oldest event follow the traffic, and panels have their cost", async () => {
  const { page, close } = await openPage(env.browser, env.url);
  await waitForCharts(page);
  await page.goto(`${env.url}/status`);
  await waitForEvents(page);
  await env.sendEvent();
  const freshness = page.getByRole("region", { name: "Freshness" });
  await freshness.getByText("from receipt to panels, median").waitFor();
  await page.locator("[data-lag=none]").waitFor();
  const cost = page.getByRole("region", { name: "Panels by the time of their statements" });
  await cost.getByRole("row").filter({ hasText: "active_users" }).waitFor();
  await close();
});

test("an event leads to its trend and to its live events", async () => {
  const { page, errors, close } = await openStatus();
  await waitForEvents(page);
  await page.getByRole("button", { name: "page_view" }).click();
  await page.getByRole("button", { name: "page_url" }).click();
  await page.getByRole("list", { name: "The most frequent values of page_url" }).getByRole("link").first().waitFor();
  await page.getByRole("link", { name: "Trend in Explore" }).click();
  await page.waitForURL(/\/explore\?.*s=page_view/);
  await page.goto(`${env.url}/status`);
  await page.getByRole("button", { name: "page_view" }).click();
  await page.getByRole("link", { name: "See them live" }).click();
  await page.waitForURL(/\/live\?.*where=event_name:page_view/);
  expect(errors).toEqual([]);
  await close();
});

test("settings are found by their words", async () => {
  const { page, close } = await openStatus();
  const settings = page.getByRole("region", { name: "Settings", exact: true });
  await settings.getByText("MILLRACE_DATA_DIR").waitFor();
  expect(await settings.getByText("ROLLUP_RETENTION_DAYS").count()).toBe(0);
  await settings.getByRole("searchbox").fill("rollup retention");
  await settings.getByText("ROLLUP_RETENTION_DAYS", { exact: true }).waitFor();
  await close();
});

describe.each(["phone", "tablet", "desktop"] as const)("at the width of a %s", (device) => {
  test.each(["dark", "light"] as const)("in %s nothing overflows, and axe finds nothing", async (colorScheme) => {
    const { page, close } = await openStatus({ viewport: { width: WIDTHS[device], height: 900 }, colorScheme });
    await waitForEvents(page);
    await page.getByRole("button", { name: "page_view" }).click();
    await page.getByRole("table", { name: "Properties of page_view" }).waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0);
    expect(await accessibilityViolations(page)).toEqual([]);
    await close();
  });
});

describe("an own server", () => {
  const batch = randomUUID();
  let server: TestServer;
  let browser: Browser;
  beforeAll(async () => {
    server = await startServer(async ({ data }) => {
      // Not events: every attempt fails.
      const body = "this is not a batch";
      const letter = {
        batch_id: batch,
        set_aside_at: new Date().toISOString(),
        reason: "the reason of before",
        code: null,
        events: 7,
        bytes: body.length,
        refused: true,
      };
      mkdirSync(join(data, "dead-letters"), { recursive: true });
      writeFileSync(join(data, "dead-letters", `${batch}.native`), body);
      writeFileSync(join(data, "dead-letters", `${batch}.json`), JSON.stringify(letter));
      return { MILLRACE_INSIGHTS_DIR: join(data, "insights") };
    });
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  test("a dead letter is replayed after a confirmation, and its outcome is shown", async () => {
    const { page, errors, close } = await openPage(browser, `${server.url}/status`);
    const letters = page.getByRole("region", { name: "Dead-lettered batches", exact: true });
    await letters.getByText("the reason of before").waitFor();
    expect(await letters.innerText()).toContain("Only by hand");
    await letters.getByRole("button", { name: `Replay batch ${batch}` }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("7 events are inserted again now").waitFor();
    expect(await accessibilityViolations(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Replay" }).click();
    await letters.getByText(/1 batch has failed again/).waitFor();
    await letters.getByText(/event columns are malformed/).waitFor();
    expect(errors).toEqual([]);
    await close();
  });

  test("annotations are added in the page and by hand, and the charts of every reader have them", async () => {
    const { page, errors, close } = await openPage(browser, `${server.url}/?range=24h`);
    const other = await openPage(browser, `${server.url}/?range=24h`);
    await generateEvents(server.url, "--rate", "0.2", "--backfill", "1d", "--duration", "1s");
    await waitForCharts(page);
    await waitForCharts(other.page);
    await page.keyboard.press("Control+k");
    await page.keyboard.type("annotations");
    await page.getByRole("option", { name: /Annotations/ }).click();
    await page.getByText("No annotations yet.").waitFor();
    await page.getByRole("button", { name: "Annotate" }).click();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Enter a title.").waitFor();
    expect(await accessibilityViolations(page)).toEqual([]);
    await page.getByLabel("Title").fill("Release 2.4");
    await page.getByRole("button", { name: "Save" }).click();
    const marks = (of: Page) => of.getByRole("list", { name: "Annotations", exact: true }).first();
    await marks(other.page).getByText("Release 2.4").waitFor({ state: "attached" });
    const file = join(server.data, "insights", "annotations", "by-hand.yaml");
    writeFileSync(file, `title: By hand\nat: ${new Date(Date.now() - 3_600_000).toISOString()}\n`);
    await marks(other.page).getByText("By hand").waitFor({ state: "attached" });

    const list = page.getByRole("list", { name: "Annotations, the newest first" });
    await list.getByRole("button", { name: "Delete “Release 2.4”" }).click();
    await list.getByRole("button", { name: "Delete", exact: true }).click();
    await list.getByText("Release 2.4").waitFor({ state: "detached" });
    await marks(other.page).getByText("Release 2.4").waitFor({ state: "detached" });
    expect(errors).toEqual([]);
    await other.close();
    await close();
  });

  // The last one: from its first key on, the server requires keys.
  test("keys are created, rotated and revoked, and readers see one sentence", async () => {
    const { page, errors, close } = await openPage(browser, `${server.url}/status`);
    const keys = page.getByRole("region", { name: "Keys", exact: true });
    const dialog = page.getByRole("dialog");
    const shownKey = async () => {
      const text = await dialog.locator("[data-key-text]").innerText();
      await dialog.getByRole("button", { name: "I have copied it" }).click();
      return text;
    };
    const send = async (key: string) => {
      const event = { event_name: "page_view", session_id: "e2e", timestamp: new Date().toISOString() };
      const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
      const response = await fetch(`${server.url}/events`, { method: "POST", headers, body: JSON.stringify([event]) });
      return response.status;
    };
    await keys.getByRole("button", { name: "New key" }).click();
    await dialog.getByText("This is the first key").waitFor();
    await dialog.getByLabel("Name").fill("operators");
    await dialog.getByRole("button", { name: "Create" }).click();
    await dialog.locator("[data-key-text]").waitFor();
    expect(await accessibilityViolations(page)).toEqual([]);
    const requiresKeys = async () => (await (await fetch(`${server.url}/api/session`)).json()).required;
    await eventually("that keys are required", requiresKeys, (required) => required === true);
    // The page is logged in with it: it still shows the key.
    expect(await shownKey()).toMatch(/^mr_admin_/);
    await waitForConnection(page, "live");

    await keys.getByRole("button", { name: "New key" }).click();
    await dialog.getByLabel("Name").fill("shop");
    await dialog.getByRole("button", { name: "Create" }).click();
    const first = await shownKey();
    await eventually(
      "an accepted event",
      () => send(first),
      (status) => status === 200,
    );

    const act = async (action: string, confirmed: string) => {
      await keys.getByRole("button", { name: "Actions for shop" }).click();
      await page.getByRole("menuitem", { name: action, exact: true }).click();
      await dialog.getByRole("button", { name: confirmed, exact: true }).click();
    };
    await act("Add a secret", "Add a secret");
    const second = await shownKey();
    await keys.getByText("2 secrets").waitFor();
    await eventually(
      "an accepted event",
      () => send(second),
      (status) => status === 200,
    );
    expect(await send(first)).toBe(200);
    await act("Revoke the older secret", "Revoke the older secret");
    await eventually(
      "a rejected event",
      () => send(first),
      (status) => status === 401,
    );
    expect(await send(second)).toBe(200);
    await act("Revoke", "Revoke");
    await keys.getByText("shop").waitFor({ state: "detached" });
    await eventually(
      "a rejected event",
      () => send(second),
      (status) => status === 401,
    );
    expect(errors).toEqual([]);
    await close();

    const reader = await openPage(browser, `${server.url}/status`);
    await reader.page.locator("[data-log-in] input").fill(await keysCommand(server.data, "create", "--scope", "read"));
    await reader.page.keyboard.press("Enter");
    await reader.page.getByRole("region", { name: "For administrators" }).waitFor();
    expect(await reader.page.getByRole("region", { name: "Keys", exact: true }).count()).toBe(0);
    expect(await accessibilityViolations(reader.page)).toEqual([]);
    await reader.close();
  });
});
