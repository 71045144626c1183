// The light is red while the server is away, and green when it is back, without a reload.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, open, waitForPanel } from "./browser.ts";
import { generate, type Server, startServer } from "./server.ts";
import { type Site, startSite } from "./site.ts";

let server: Server;
let site: Site;
let browser: Browser;

beforeAll(async () => {
  server = await startServer();
  await generate(server.url, "--rate", "20", "--backfill", "10m", "--duration", "1s");
  site = await startSite(server.url);
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
  await site?.close();
  await server?.close();
});

test("a killed server turns the light red, and its return turns it green", async () => {
  const { page, close } = await open(browser, site.url);
  await page.waitForSelector('[data-light="green"]', { timeout: 30_000 });
  const figures = await waitForPanel(page, "error_rate", (text) => /of [\d,]+ events/.test(text));

  let since = performance.now();
  await server.kill();
  await page.waitForSelector('[data-light="red"]', { timeout: 30_000 });
  console.log(`red ${Math.round(performance.now() - since)} ms after the server's death`);
  await page.locator("[data-light] summary").click();
  const details = await page.locator("[data-light]").innerText();
  expect(details).toContain("Server unreachable since");
  expect(details).toMatch(/Error rate.* unreachable since \d\d:\d\d:\d\d/);
  const late = await waitForPanel(page, "error_rate", (text) => text.includes("Old figures"));
  expect(late, "the last figures stay").toContain(/of [\d,]+ events/.exec(figures)?.[0]);

  await server.start();
  since = performance.now();
  await page.waitForSelector('[data-light="green"]', { timeout: 60_000 });
  console.log(`green ${Math.round(performance.now() - since)} ms after its return`);
  await waitForPanel(page, "error_rate", (text) => !text.includes("Old figures"));
  await close();
});
