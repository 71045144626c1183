// The light is red while the server is away, and green when it is back, without a reload.

import { expect, test } from "vitest";
import { open, waitForPanel } from "./browser.ts";
import { stage } from "./environment.ts";
import { generate } from "./server.ts";

const on = stage((url) => generate(url, "--rate", "20", "--backfill", "10m", "--duration", "1s"));

test("a killed server turns the light red, and its return turns it green", async () => {
  const { page, close } = await open(on.browser, on.url);
  await page.waitForSelector('[data-status="green"]', { timeout: 30_000 });
  const values = await waitForPanel(page, "error_rate", (text) => /of [\d,]+ events/.test(text));

  let since = performance.now();
  await on.server.kill();
  await page.waitForSelector('[data-status="red"]', { timeout: 30_000 });
  console.log(`red ${Math.round(performance.now() - since)} ms after the server's death`);
  await page.locator("[data-status] summary").click();
  const details = await page.locator("[data-status]").innerText();
  expect(details).toContain("Server unreachable since");
  expect(details).toMatch(/Error rate.* unreachable since \d\d:\d\d:\d\d/);
  const late = await waitForPanel(page, "error_rate", (text) => text.includes("Old values"));
  expect(late, "the last values stay").toContain(/of [\d,]+ events/.exec(values)?.[0]);

  await on.server.start();
  since = performance.now();
  await page.waitForSelector('[data-status="green"]', { timeout: 60_000 });
  console.log(`green ${Math.round(performance.now() - since)} ms after its return`);
  await waitForPanel(page, "error_rate", (text) => !text.includes("Old values"));
  await close();
});
