// The status indicator is red while the server is down and turns green without a reload when it returns.

import { expect, test } from "vitest";
import { openPage, waitForPanel } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { generateEvents } from "./server.ts";

const env = testEnvironment((url) => generateEvents(url, "--rate", "20", "--backfill", "10m", "--duration", "1s"));

test("a killed server turns the status red and its restart turns it green", async () => {
  const { page, close } = await openPage(env.browser, env.url);
  await page.waitForSelector('[data-status="green"]', { timeout: 30_000 });
  const values = await waitForPanel(page, "error_rate", (text) => /of [\d,]+ events/.test(text));

  let since = performance.now();
  await env.server.kill();
  await page.waitForSelector('[data-status="red"]', { timeout: 30_000 });
  console.log(`red ${Math.round(performance.now() - since)} ms after the server was killed`);
  await page.locator("[data-status] summary").click();
  const details = await page.locator("[data-status]").innerText();
  expect(details).toContain("Server unreachable since");
  expect(details).toMatch(/Error rate.* unreachable since \d\d:\d\d:\d\d/);
  const stale = await waitForPanel(page, "error_rate", (text) => text.includes("Stale since"));
  expect(stale, "the last values stay visible").toContain(/of [\d,]+ events/.exec(values)?.[0]);

  await env.server.start();
  since = performance.now();
  await page.waitForSelector('[data-status="green"]', { timeout: 60_000 });
  console.log(`green ${Math.round(performance.now() - since)} ms after it was restarted`);
  await waitForPanel(page, "error_rate", (text) => !text.includes("Stale since"));
  await close();
});
