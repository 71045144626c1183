// The first load: bytes of JavaScript, and on a slow link the times of the first paint and the first figures.
//
// The link is simulated by a proxy: the emulation of the browser's developer tools does not include workers.

import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { openPage } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { startProxy } from "./faults.ts";
import { measurement, median } from "./measurement.ts";
import { generateEvents } from "./server.ts";

const RUNS = Number(process.env.RUNS ?? 3);
const LINK = { bytesPerSecond: 50_000, latencyMs: 400 };
const KB = 1024;
const { record } = measurement();

const env = testEnvironment((url) => generateEvents(url, "--rate", "20", "--backfill", "1h", "--duration", "1s"));

/** Times since the start of the navigation, in ms. */
interface Load {
  firstPaint: number;
  firstFigures: number;
  javascriptBytes: number;
}

async function load(): Promise<Load> {
  const proxy = await startProxy(env.url, { link: LINK });
  const { page, close } = await openPage(env.browser, "about:blank");
  await page.addInitScript(() => {
    const times: { figures?: number } = {};
    Object.assign(window, { times });
    // A lead figure with a digit, in any card.
    const look = () => {
      const cards = [...document.querySelectorAll<HTMLElement>("[data-panel]")];
      const figures = cards.map((card) => card.querySelector("[data-figure]")?.textContent ?? "");
      if (times.figures === undefined && figures.some((text) => /\d/.test(text))) times.figures = performance.now();
    };
    new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
  });
  await page.goto(`${proxy.url}/?range=1h`);
  const times = await paintAndFigures(page);
  const javascriptBytes = proxy.bodyBytes(".js");
  await close();
  await proxy.close();
  return { ...times, javascriptBytes };
}

async function paintAndFigures(page: Page): Promise<{ firstPaint: number; firstFigures: number }> {
  await page.waitForFunction(() => (window as unknown as { times: { figures?: number } }).times.figures, undefined, {
    timeout: 120_000,
  });
  return page.evaluate(() => ({
    firstPaint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Number.NaN,
    firstFigures: (window as unknown as { times: { figures: number } }).times.figures,
  }));
}

test("first load", async () => {
  const loads: Load[] = [];
  for (let run = 0; run < RUNS; run += 1) loads.push(await load());
  expect(loads).toHaveLength(RUNS);
  const middle = (read: (load: Load) => number) => median(loads.map(read));
  const link = `at ${LINK.bytesPerSecond / 1000} KB/s with ${LINK.latencyMs} ms of latency`;
  record("gzipped JavaScript until the first figures", middle((load) => load.javascriptBytes) / KB, "KB", 200);
  record(
    `first paint ${link}`,
    middle((load) => load.firstPaint),
    "ms",
  );
  record(
    `first figures ${link}`,
    middle((load) => load.firstFigures),
    "ms",
    6_000,
  );
});
