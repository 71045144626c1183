// The page of live events at 1,000 events per second: tasks of the main thread, and scrolling through 100,000 rows. Tasks are
// measured in processor time: on a busy machine, a task also waits for a core.

import { expect, test } from "vitest";
import { launch, openPage } from "./browser.ts";
import { measurement, quantile } from "./measurement.ts";
import { startServer, startTraffic } from "./server.ts";

const RATE = 1_000;
const TRACE_SECONDS = 15;
const SCROLL_SECONDS = 5;
/** In pixels per frame: a wheel, a fling, dragging the bar. */
const STEPS = [120, 600, 4_000];

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  /** Processor time in microseconds. */
  tdur?: number;
  args?: { name?: string };
}

const { record } = measurement();

test("1,000 events per second", async () => {
  const server = await startServer();
  const traffic = startTraffic(server.url, RATE);
  const browser = await launch();
  const { page, close } = await openPage(browser, `${server.url}/live?rate=${RATE}`, {
    viewport: { width: 1440, height: 900 },
  });
  await page.waitForSelector("[data-event]", { timeout: 60_000 });
  // The first seconds compile code.
  await page.waitForTimeout(5_000);
  await browser.startTracing(page, { categories: ["toplevel", "devtools.timeline"] });
  await page.waitForTimeout(TRACE_SECONDS * 1000);
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  const threads = traceEvents.filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain");
  const tasks = traceEvents.filter(
    ({ name, ph, pid, tid }) =>
      ph === "X" && name.endsWith("RunTask") && threads.some((thread) => thread.pid === pid && thread.tid === tid),
  );
  const times = tasks.map(({ tdur = 0 }) => tdur / 1000);
  record("longest task", Math.max(...times), "ms", 50);
  record("main thread", (times.reduce((sum, time) => sum + time, 0) / (TRACE_SECONDS * 1000)) * 100, "% of a core");

  await page.waitForFunction(
    () => Number(document.querySelector<HTMLElement>("[data-list]")?.dataset.list) >= 100_000,
    undefined,
    { timeout: 300_000, polling: 1_000 },
  );
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const threadTime = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "ThreadTime")?.value ?? Number.NaN;
  };
  for (const step of STEPS) {
    const before = await threadTime();
    const frames = await page.evaluate(
      async ([step, seconds]) => {
        const list = document.querySelector(".ui-rows") as HTMLElement;
        list.scrollTop = 0;
        const start = performance.now();
        const times: number[] = [];
        let last = start;
        while (last - start < seconds * 1000) {
          list.scrollTop += step;
          await new Promise(requestAnimationFrame);
          const now = performance.now();
          times.push(now - last);
          last = now;
        }
        return times;
      },
      [step, SCROLL_SECONDS] as const,
    );
    const perFrame = ((await threadTime()) - before) / frames.length;
    record(`scrolling by ${step} px per frame, frames`, frames.length / SCROLL_SECONDS, "per second");
    record(`scrolling by ${step} px per frame, median of a frame`, quantile(frames, 0.5), "ms", 20);
    record(`scrolling by ${step} px per frame, main thread`, perFrame * 1000, "ms per frame", 20);
  }
  expect(await page.locator("[data-list]").getAttribute("data-waiting")).not.toBe("0");
  await close();
  await browser.close();
  await traffic.close();
  await server.close();
});
