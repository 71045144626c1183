// A server without events shows snippets that send the first one. Each snippet works without changes.

import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { SNIPPETS } from "../src/app/gettingStarted/snippets.ts";
import { openPage, waitForPanel } from "./browser.ts";
import { dashboard, ingest, PANEL_REQUEST } from "./client.ts";
import { testEnvironment } from "./environment.ts";

const env = testEnvironment();

test("the page shows the panels after the first event", async () => {
  const { page, close } = await openPage(env.browser, env.url);
  await page.waitForSelector("[data-getting-started]", { timeout: 30_000 });
  expect(await page.locator("[data-panel]").count()).toBe(0);
  expect(await page.getByRole("tabpanel").innerText()).toContain(new URL(env.url).host);
  if (process.env.SCREENSHOTS === "1") {
    const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
    await mkdir(docs, { recursive: true });
    await page.waitForSelector('[data-status="green"]', { timeout: 30_000 });
    await page.screenshot({ path: `${docs}first-minutes.png` });
  }

  const sent = performance.now();
  await ingest(env.server.url).sendEvents({
    events: [{ eventName: "signup_started", sessionId: "first", timestamp: timestampFromMs(Date.now()) }],
  });
  await waitForPanel(page, "active_users", (text) => /^1$/m.test(text), 30_000);
  console.log(`from the first event to its update on the page: ${Math.round(performance.now() - sent)} ms`);
  expect(await page.locator("[data-getting-started]").count()).toBe(0);
  await close();
});

const GRPCURL = process.env.GRPCURL ?? "grpcurl";

test.each(SNIPPETS)("the $name snippet works without changes", async ({ name, text }) => {
  const { points } = await dashboard(env.server.url).getErrorRate(PANEL_REQUEST);
  const before = points.reduce((sum, point) => sum + Number(point.events), 0);
  const snippet = text({ origin: env.server.url });
  const run = promisify(execFile);
  if (name === "Python") await run("python3", ["-c", snippet]);
  else if (name === "TypeScript") await run(process.execPath, ["--input-type=module", "-e", snippet]);
  else {
    const { stdout } = await run("bash", ["-c", snippet.replace(/^grpcurl/, GRPCURL)]);
    expect(stdout).toMatch(/"accepted"/);
  }
  await expect
    .poll(
      async () => {
        const response = await dashboard(env.server.url).getErrorRate(PANEL_REQUEST);
        return response.points.reduce((sum, point) => sum + Number(point.events), 0);
      },
      { timeout: 15_000 },
    )
    .toBe(before + 1);
});
