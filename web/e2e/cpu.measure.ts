// CPU time of an open page under live traffic: the processor time of all of Chromium's processes (main thread, workers,
// compositor, software rasteriser) and how busy the main thread is.

import type { Browser, Page } from "playwright-core";
import { expect, test } from "vitest";
import { launch, openPage } from "./browser.ts";
import { measurement, median } from "./measurement.ts";
import { chartPanels, panelFolder } from "./panelFiles.ts";
import { generateEvents, startServer, startTraffic } from "./server.ts";

const SECONDS = Number(process.env.SECONDS ?? 60);
const RUNS = Number(process.env.RUNS ?? 3);
const EVENTS_PER_SECOND = 20;
const BUILT_IN = 8;

const { record } = measurement();

/** Seconds of processor time since the start of each process, summed. */
async function processSeconds(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo.reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}

interface Usage {
  /** Processor time of all processes. */
  processes: number;
  /** Processor time of the page's main thread. */
  mainThread: number;
  /** Of the main thread, including what it waits for a core. */
  script: number;
}

/** Percent of a core during `SECONDS`. */
async function measure(browser: Browser, page: Page): Promise<Usage> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const sample = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    const metric = (name: string) => metrics.find((entry) => entry.name === name)?.value ?? Number.NaN;
    return { at: metric("Timestamp"), thread: metric("ThreadTime"), script: metric("ScriptDuration") };
  };
  const [before, used] = [await sample(), await processSeconds(browser)];
  await page.waitForTimeout(SECONDS * 1000);
  const [after, usedAfter] = [await sample(), await processSeconds(browser)];
  await session.detach();
  const percent = (seconds: number) => (seconds / (after.at - before.at)) * 100;
  return {
    processes: percent(usedAfter - used),
    mainThread: percent(after.thread - before.thread),
    script: percent(after.script - before.script),
  };
}

test.each([
  [BUILT_IN + 1, 15],
  [BUILT_IN + 16, 25],
])("CPU time with %i panels", async (count, limit) => {
  const folder = panelFolder(chartPanels(count - BUILT_IN));
  const server = await startServer({ MILLRACE_PANELS_DIR: folder.path });
  await generateEvents(server.url, "--rate", String(EVENTS_PER_SECOND), "--backfill", "1h", "--duration", "1s");
  const traffic = startTraffic(server.url, EVENTS_PER_SECOND);
  const results = [];
  for (let run = 1; run <= RUNS; run += 1) {
    const browser = await launch();
    const { page, close } = await openPage(browser, `${server.url}/?range=1h&zone=utc`, {
      viewport: { width: 1440, height: 900 },
    });
    await page.waitForFunction((count) => document.querySelectorAll("[data-panel]").length >= count, count);
    if (count > BUILT_IN + 1) {
      // Every chart is on screen.
      const height = await page.evaluate(() => document.documentElement.scrollHeight);
      await page.setViewportSize({ width: 1440, height });
    }
    // The first seconds compile code and draw everything once.
    await page.waitForTimeout(10_000);
    const result = await measure(browser, page);
    const figures = Object.entries(result).map(([name, value]) => `${name} ${value.toFixed(1)} %`);
    console.log(`${count} panels, run ${run}: ${figures.join(", ")}`);
    results.push(result);
    await close();
    await browser.close();
  }
  record(`${count} panels, main thread`, median(results.map((result) => result.mainThread)), "% of a core");
  record(`${count} panels, script`, median(results.map((result) => result.script)), "% of a core");
  record(`${count} panels, all processes`, median(results.map((result) => result.processes)), "% of a core", limit);
  expect(results).toHaveLength(RUNS);
  await traffic.close();
  await server.close();
  folder.close();
});
