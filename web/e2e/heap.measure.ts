// Measures heap growth of an open page: used heap after garbage collection, before and after MINUTES of updates.

import type { CDPSession } from "playwright-core";
import { expect, test } from "vitest";
import { launch, openPage, waitForPanel } from "./browser.ts";
import { generateEvents, startServer, startTraffic } from "./server.ts";

const MINUTES = Number(process.env.MINUTES ?? 10);
/** Events per second, high enough that every panel changes with each query. */
const RATE = 60;

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

const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`;

test(`heap growth over ${MINUTES} minutes`, async () => {
  const server = await startServer();
  await generateEvents(server.url, "--rate", "20", "--backfill", "1h", "--duration", "1s");
  const traffic = startTraffic(server.url, RATE);
  const browser = await launch();
  const { page } = await openPage(browser, `${server.url}/?range=1h`);
  await waitForPanel(page, "error_rate", (text) => /of [\d,]+ events/.test(text), 30_000);
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
  const session = await page.context().newCDPSession(page);
  // The first minute fills caches and compiles code. Growth after it would continue.
  await page.waitForTimeout(Math.min(60_000, MINUTES * 6_000));
  const before = await heapBytes(session);
  console.log(`at the start: ${megabytes(before)}`);
  const started = Date.now();
  for (let minute = 1; minute <= MINUTES; minute += 1) {
    await page.waitForTimeout(Math.max(0, started + minute * 60_000 - Date.now()));
    console.log(`after ${minute} min: ${megabytes(await heapBytes(session))}`);
  }
  const after = await heapBytes(session);
  const rendered = await page.evaluate(() => (window as unknown as { counter: { rendered: number } }).counter.rendered);
  const seconds = (Date.now() - started) / 1000;
  console.log(`${rendered} updates rendered, ${(rendered / seconds).toFixed(1)} per second`);
  console.log(`grew by ${megabytes(after - before)}, to ${megabytes(after)}`);
  await traffic.close();
  await browser.close();
  await server.close();
  expect(rendered).toBeGreaterThan(0);
});
