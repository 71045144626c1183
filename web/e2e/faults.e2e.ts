// The page during faults of server and network: it never looks live when it is not, keeps the last figures with their
// age, and recovers without a reload. How soon a fault is shown is printed; the threshold is 12 s.

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openPage } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { type FaultProxy, startProxy } from "./faults.ts";
import {
  asOf,
  card,
  chooseInMenu,
  connection,
  eventually,
  figure,
  markDocument,
  waitForChartCode,
  waitForConnection,
  waitForFigures,
  wasReloaded,
} from "./hooks.ts";
import { ALL_EVENTS, type PanelFile, panelFolder } from "./panelFiles.ts";
import { generateEvents } from "./server.ts";

const THRESHOLD_MS = 12_000;
/** What was sent before a fault may arrive after it. */
const IN_FLIGHT_MS = 2_000;

/** A custom panel whose lead figure grows with every event. */
const TOTAL: PanelFile = {
  name: "total_events",
  title: "Total events",
  chart: "number",
  sql: ALL_EVENTS,
};

const folder = panelFolder([TOTAL]);
afterAll(() => folder.close());
const env = testEnvironment((url) => generateEvents(url, "--rate", "20", "--backfill", "10m", "--duration", "1s"), {
  MILLRACE_PANELS_DIR: folder.path,
});

let proxy: FaultProxy;
let page: Page;
let closePage: () => Promise<void>;
beforeAll(() => expect(env.url).toBeTruthy());
beforeEach(async () => {
  proxy = await startProxy(env.url);
});
afterEach(async () => {
  env.server.thaw();
  await closePage?.();
  await proxy.close();
});

async function open(query = "?range=1h&zone=Europe/Madrid"): Promise<void> {
  ({ page, close: closePage } = await openPage(env.browser, `${proxy.url}/${query}`));
}

async function openLive(): Promise<void> {
  await open();
  await waitForConnection(page, "live");
  await waitForFigures(page);
  await waitForChartCode(page);
  await markDocument(page);
}

const report = (what: string, ms: number) => console.log(`${what}: ${ms} ms (threshold ${THRESHOLD_MS} ms)`);

/** Everything is marked as old, once: the status, one banner, every card. */
async function expectStale(shownBefore: string, before: number): Promise<void> {
  const banner = page.locator("[role=status][data-banner]");
  await eventually(
    "banners",
    () => banner.count(),
    (count) => count === 1,
  );
  expect(await banner.innerText(), "the age of the figures").toMatch(
    /\bas of\b.*\d\d:\d\d|\d+ ?(s|sec|m|min)\w*\b.*\b(ago|old)\b/is,
  );
  await eventually(
    "states of the cards",
    () => page.locator("[data-panel]").evaluateAll((cards) => cards.map((card) => (card as HTMLElement).dataset.state)),
    (states) => states.length > 8 && states.every((state) => state === "stale"),
  );
  expect(await asOf(page), "the figures are not newer than the fault").toBeLessThan(before + IN_FLIGHT_MS);
  expect(before - (await asOf(page)), "and not much older").toBeLessThan(60_000);
  expect(await figure(page, TOTAL.name), "the last figure stays").toBe(shownBefore);
  // At one moment: the reason changes when the server does not answer for longer.
  const { sentence, times } = await banner.evaluate((element) => {
    const sentence = (element as HTMLElement).innerText.split(/[.\n]/)[0]?.trim() ?? "";
    return { sentence, times: document.body.innerText.split(sentence).length - 1 };
  });
  expect(times, `"${sentence}" is said once`).toBe(1);
}

/** The page is live again, and an event updates its figures. */
async function expectRecovery(): Promise<void> {
  const { afterMs } = await waitForConnection(page, "live");
  console.log(`live again after ${afterMs} ms`);
  await waitForFigures(page);
  await expectUpdate();
  await page.locator("[data-banner]").waitFor({ state: "detached" });
  expect(await wasReloaded(page)).toBe(false);
}

async function expectUpdate(): Promise<void> {
  const shown = await figure(page, TOTAL.name);
  await env.sendEvent();
  await eventually(
    "the total after an event",
    () => figure(page, TOTAL.name),
    (text) => text !== shown,
  );
}

test("a frozen server", async () => {
  await openLive();
  const [shown, before] = [await figure(page, TOTAL.name), Date.now()];
  env.server.freeze();
  const { state, afterMs } = await waitForConnection(page, "stale", "offline");
  report(`${state} after the server was frozen`, afterMs);
  await expectStale(shown, before);
  env.server.thaw();
  await expectRecovery();
});

test("a killed server", async () => {
  await openLive();
  const [shown, before] = [await figure(page, TOTAL.name), Date.now()];
  await env.server.kill();
  const { state, afterMs } = await waitForConnection(page, "stale", "offline");
  report(`${state} after the server was killed`, afterMs);
  await expectStale(shown, before);
  await env.server.start();
  await expectRecovery();
});

test("connections that are half-open while new ones work", async () => {
  await openLive();
  const [streams, since] = [proxy.calls("WatchPanels"), performance.now()];
  proxy.halfOpen();
  await eventually(
    "the status, and new streams",
    async () => ({ state: await connection(page), opened: proxy.calls("WatchPanels") - streams }),
    ({ state, opened }) => state !== "live" || opened > 0,
  );
  report("noticed after the connections went half-open", Math.round(performance.now() - since));
  await eventually(
    "calls of WatchPanels",
    () => proxy.calls("WatchPanels"),
    (calls) => calls > streams,
  );
  await expectRecovery();
});

test("a network that swallows everything", async () => {
  await openLive();
  const [shown, before] = [await figure(page, TOTAL.name), Date.now()];
  proxy.halfOpen("new");
  const { state, afterMs } = await waitForConnection(page, "stale", "offline");
  report(`${state} after the network was gone`, afterMs);
  await expectStale(shown, before);
  await proxy.restore();
  await expectRecovery();
});

test("a proxy that refuses connections", async () => {
  await openLive();
  const [shown, before] = [await figure(page, TOTAL.name), Date.now()];
  await proxy.refuse();
  const { state, afterMs } = await waitForConnection(page, "stale", "offline");
  report(`${state} after connections were refused`, afterMs);
  await expectStale(shown, before);
  await proxy.restore();
  await expectRecovery();
});

test("a proxy that buffers the stream: the page polls and says so", async () => {
  proxy.set("WatchPanels", { buffer: true });
  await open();
  const { afterMs } = await waitForConnection(page, "polling");
  report("polling behind a buffering proxy", afterMs);
  expect(await page.locator("[data-connection]").first().innerText()).toMatch(/poll/i);
  await waitForFigures(page);
  await expectUpdate();
  expect(await connection(page), "it does not claim to be live").toBe("polling");
});

test("a slow list of panels leaves the stream alone", async () => {
  await openLive();
  const [streams, lists] = [proxy.calls("WatchPanels"), proxy.calls("ListPanels")];
  proxy.set("ListPanels", { delayMs: 20_000 });
  // A new panel file: the page has to read the list again.
  const added = { ...TOTAL, name: "added_events", title: "Added events" };
  folder.write(added);
  try {
    await eventually(
      "calls of ListPanels",
      () => proxy.calls("ListPanels"),
      (calls) => calls > lists,
    );
    await expectUpdate();
    await expectUpdate();
    expect(proxy.active("ListPanels"), "the list is still awaited").toBe(1);
    expect(await connection(page)).toBe("live");
    expect(proxy.calls("WatchPanels")).toBe(streams);
    proxy.set("ListPanels", {});
    await card(page, added.name).waitFor({ timeout: 60_000 });
  } finally {
    folder.remove(added.name);
  }
});

test("a permanent error is shown, and not retried indefinitely", async () => {
  proxy.set("WatchPanels", { fail: { code: 7, message: "this address may not watch panels" } });
  await open();
  await waitForConnection(page, "polling", "stale", "offline", "denied");
  await eventually(
    "the page's text",
    () => page.locator("body").innerText(),
    (text) => /may not watch panels|rejected|not (allowed|permitted)|permission|forbidden/i.test(text),
  );
  const before = proxy.calls("WatchPanels");
  // Any number of reconnects within these seconds would be too many; a slow machine makes it only smaller.
  await page.waitForTimeout(15_000);
  expect(proxy.calls("WatchPanels") - before).toBeLessThanOrEqual(1);
});

test("a range chosen while the server is frozen: old words stay with old figures", async () => {
  await openLive();
  // Ages and clocks go on; everything else of a card belongs to its figures.
  const lines = async (panel: string) =>
    (await card(page, panel).innerText()).split("\n").filter((line) => !/\bago\b|as of|\d\d:\d\d/.test(line));
  const panels = ["error_rate", "active_users", TOTAL.name];
  const downloadName = async () => {
    const [file] = await Promise.all([page.waitForEvent("download"), chooseInMenu(page, "error_rate", /csv/i)]);
    return file.suggestedFilename();
  };
  // Also loads the menu and the export, which a frozen server cannot deliver.
  expect(await downloadName()).toMatch(/^error_rate\b.*\.csv$/);
  const before = await Promise.all(panels.map(lines));
  const figures = await Promise.all(panels.map((panel) => figure(page, panel)));

  env.server.freeze();
  await page.keyboard.press("2");
  await eventually(
    "the address",
    () => page.url(),
    (url) => url.includes("range=6h"),
  );
  await eventually(
    "cards that are not marked as placeholders",
    () => page.locator("[data-panel]:not([data-placeholder])").evaluateAll((cards) => cards.map((card) => card.id)),
    (unmarked) => unmarked.length === 0,
  );
  await waitForConnection(page, "stale", "offline");
  expect(await page.locator("[data-panel]:not([data-placeholder])").count()).toBe(0);
  for (const [index, panel] of panels.entries()) {
    expect(await figure(page, panel)).toBe(figures[index]);
    expect(await lines(panel), `the words of ${panel}`).toEqual(expect.arrayContaining(before[index] ?? []));
    expect((await lines(panel)).join("\n")).not.toMatch(/last (6|six) hours/i);
  }
  expect(await downloadName(), "a file is named after its figures").not.toMatch(/6h/);

  env.server.thaw();
  await waitForConnection(page, "live");
  await waitForFigures(page);
  expect(await page.locator("[data-placeholder]").count()).toBe(0);
  await expectUpdate();
});
