// Measures heap growth of an open page and its shared worker: used heap after garbage collection, over MINUTES of updates.

import type { Browser, CDPSession, Page } from "puppeteer-core";
import { expect, test } from "vitest";
import { launchPlain } from "./browser.ts";
import { measurement } from "./measurement.ts";
import { generateEvents, startServer, startTraffic } from "./server.ts";

const { record } = measurement();

const MINUTES = Number(process.env.MINUTES ?? 10);
/** Events per second, high enough that every panel changes with each query. */
const RATE = 60;
const MB = 1024 * 1024;
/** By the regression line over ten minutes: some 200 bytes per update. Single samples vary by 1 MB. */
const MAX_GROWTH_MB = 2;

async function heaps(browser: Browser, page: Page): Promise<CDPSession[]> {
  const workers = browser.targets().filter((target) => target.type() === "shared_worker");
  return Promise.all([page.createCDPSession(), ...workers.map((worker) => worker.createCDPSession())]);
}

/** The minimum of several samples: the page keeps updating, so a sample may include a render in progress. */
async function heapBytes(session: CDPSession): Promise<number> {
  let smallest = Number.POSITIVE_INFINITY;
  for (let sample = 0; sample < 5; sample += 1) {
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    smallest = Math.min(smallest, usedSize);
    await new Promise((done) => setTimeout(done, 150));
  }
  return smallest;
}

const megabytes = (bytes: number): string => `${(bytes / MB).toFixed(1)} MB`;

/** Bytes per sample, by least squares: a single large sample does not decide. */
function slope(samples: number[]): number {
  const middle = (samples.length - 1) / 2;
  const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length;
  const sum = (term: (value: number, index: number) => number) =>
    samples.map(term).reduce((total, value) => total + value, 0);
  return sum((value, index) => (index - middle) * (value - mean)) / sum((_, index) => (index - middle) ** 2);
}

test(`heap growth over ${MINUTES} minutes`, async () => {
  const server = await startServer();
  await generateEvents(server.url, "--rate", "20", "--backfill", "1h", "--duration", "1s");
  const traffic = startTraffic(server.url, RATE);
  const browser = await launchPlain();
  const page = await browser.newPage();
  await page.setViewport({ width: 1440, height: 1000 });
  await page.goto(`${server.url}/?range=1h`);
  await page.waitForSelector("[data-figure]", { timeout: 60_000 });
  // Counts DOM mutations in the panels as rendered updates.
  await page.evaluate(() => {
    const counter = { rendered: 0 };
    Object.assign(window, { counter });
    const count = () => {
      counter.rendered += 1;
    };
    for (const panel of document.querySelectorAll("[data-panel]")) {
      new MutationObserver(count).observe(panel, {
        subtree: true,
        characterData: true,
        childList: true,
        attributes: true,
      });
    }
  });
  const sessions = await heaps(browser, page);
  const sample = async () => (await Promise.all(sessions.map(heapBytes))).reduce((sum, bytes) => sum + bytes, 0);
  // The first minute fills caches and compiles code. Growth after it would continue.
  await new Promise((done) => setTimeout(done, 60_000));
  const samples = [await sample()];
  console.log(`at the start: ${megabytes(samples[0] ?? 0)} in ${sessions.length} heap(s)`);
  const started = Date.now();
  for (let minute = 1; minute <= MINUTES; minute += 1) {
    await new Promise((done) => setTimeout(done, Math.max(0, started + minute * 60_000 - Date.now())));
    const bytes = await sample();
    samples.push(bytes);
    console.log(`after ${minute} min: ${megabytes(bytes)}`);
  }
  const rendered = await page.evaluate(() => (window as unknown as { counter: { rendered: number } }).counter.rendered);
  record("updates rendered", rendered / ((Date.now() - started) / 1000), "per second");
  record("heap at the end", (samples.at(-1) ?? Number.NaN) / MB, "MB");
  record("heap growth", (slope(samples) * MINUTES) / MB, "MB", MAX_GROWTH_MB);
  await traffic.close();
  await browser.close();
  await server.close();
  expect(rendered).toBeGreaterThan(0);
});
