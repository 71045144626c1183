// How the page's memory grows while it is open: the heap after garbage collection, before and after MINUTES of updates.

import type { CDPSession } from "playwright-core";
import { expect, test } from "vitest";
import { launch, open, waitForPanel } from "./browser.ts";
import { generate, startServer, startTraffic } from "./server.ts";

const MINUTES = Number(process.env.MINUTES ?? 10);
/** Events a second: enough that every panel changes each time it is computed. */
const RATE = 60;

/** The least of several looks: the page goes on while it is measured, and an update is half drawn in some of them. */
async function heapBytes(session: CDPSession): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 5; look += 1) {
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    least = Math.min(least, usedSize);
    await new Promise((done) => setTimeout(done, 150));
  }
  return least;
}

const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`;

test(`the heap after ${MINUTES} minutes`, async () => {
  const server = await startServer();
  await generate(server.url, "--rate", "20", "--backfill", "1h", "--duration", "1s");
  const traffic = startTraffic(server.url, RATE);
  const browser = await launch();
  const { page } = await open(browser, `${server.url}/?range=1h`);
  await waitForPanel(page, "error_rate", (text) => /of [\d,]+ events/.test(text), 30_000);
  // Each change of a value in any panel is an update that has been drawn.
  await page.evaluate(() => {
    const counter = { drawn: 0 };
    Object.assign(window, { counter });
    const count = () => {
      counter.drawn += 1;
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
  // The first minute fills caches and compiles; what grows after it would grow for ever.
  await page.waitForTimeout(Math.min(60_000, MINUTES * 6_000));
  const before = await heapBytes(session);
  console.log(`at the start: ${megabytes(before)}`);
  const started = Date.now();
  for (let minute = 1; minute <= MINUTES; minute += 1) {
    await page.waitForTimeout(Math.max(0, started + minute * 60_000 - Date.now()));
    console.log(`after ${minute} min: ${megabytes(await heapBytes(session))}`);
  }
  const after = await heapBytes(session);
  const drawn = await page.evaluate(() => (window as unknown as { counter: { drawn: number } }).counter.drawn);
  const seconds = (Date.now() - started) / 1000;
  console.log(`${drawn} updates drawn, ${(drawn / seconds).toFixed(1)} a second`);
  console.log(`grown by ${megabytes(after - before)}, to ${megabytes(after)}`);
  await traffic.close();
  await browser.close();
  await server.close();
  expect(drawn).toBeGreaterThan(0);
});
