// From sending an event to its figure on the page, over 100 events.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { openPage } from "./browser.ts";
import { ingest } from "./client.ts";
import { testEnvironment } from "./environment.ts";
import { waitForFigures } from "./hooks.ts";
import { measurement, quantile } from "./measurement.ts";
import { ALL_EVENTS, panelFolder } from "./panelFiles.ts";
import { generateEvents } from "./server.ts";

const EVENTS = 100;
const { record } = measurement();

const folder = panelFolder([
  {
    name: "total_events",
    title: "Total events",
    chart: "number",
    sql: ALL_EVENTS,
  },
]);
const env = testEnvironment((url) => generateEvents(url, "--rate", "2", "--backfill", "10m", "--duration", "1s"), {
  MILLRACE_PANELS_DIR: folder.path,
});

test(`latency of ${EVENTS} events`, async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=24h&zone=utc`);
  await waitForFigures(page);
  const client = ingest(env.server.url);
  const latencies: number[] = [];
  for (let sent = 0; sent < EVENTS; sent += 1) {
    // Prepared before the event, so that the change is not missed. Resolves with the time of the frame that shows it.
    const shown = await page.evaluateHandle(() => {
      const card = document.querySelector('[data-panel="total_events"]') as HTMLElement;
      const figure = () => card.querySelector("[data-figure]")?.textContent;
      const before = figure();
      return {
        at: new Promise<number>((done) => {
          const observer = new MutationObserver(() => {
            if (figure() === before) return;
            observer.disconnect();
            requestAnimationFrame(() => done(performance.timeOrigin + performance.now()));
          });
          observer.observe(card, { subtree: true, childList: true, characterData: true });
        }),
      };
    });
    const start = performance.timeOrigin + performance.now();
    await client.sendEvents({
      events: [{ eventName: "page_view", sessionId: `latency-${sent}`, timestamp: timestampFromMs(Date.now()) }],
    });
    latencies.push((await shown.evaluate(({ at }) => at)) - start);
    // Events of a real stream do not arrive in step with the updates.
    await page.waitForTimeout(Math.random() * 500);
  }
  expect(latencies).toHaveLength(EVENTS);
  record("event to figure, p50", quantile(latencies, 0.5), "ms");
  record("event to figure, p95", quantile(latencies, 0.95), "ms", 500);
  await close();
  folder.close();
});
