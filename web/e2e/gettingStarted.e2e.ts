// A server without events shows snippets that send the first one. Each snippet works without changes.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, expect, test } from "vitest";
import { snippets } from "../src/pages/dashboard/gettingStarted/snippets.ts";
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
    await page.waitForSelector('[data-connection="live"]', { timeout: 30_000 });
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

// The folder in which the snippets run. It is on the PATH, with grpcurl in it if that has another name.
const folder = mkdtempSync(join(tmpdir(), "millrace-snippets-"));
if (process.env.GRPCURL) symlinkSync(process.env.GRPCURL, join(folder, "grpcurl"));
const snippetEnv = { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}` };
afterAll(() => rmSync(folder, { recursive: true }));

const TOOLS = { curl: "curl", python: "python3", node: "node", go: "go", grpcurl: "grpcurl", rust: "rustc" };

const isInstalled = (tool: string) =>
  spawnSync("sh", ["-c", `command -v ${tool}`], { env: snippetEnv, stdio: "ignore" }).status === 0;

/** Gives the text to a shell as its input, as pasting does. Returns what it prints. */
function paste(text: string): Promise<string> {
  return new Promise((done, fail) => {
    const shell = spawn("sh", [], { cwd: folder, env: snippetEnv });
    let output = "";
    shell.stdout.on("data", (data) => {
      output += data;
    });
    shell.stderr.on("data", (data) => {
      output += data;
    });
    shell.once("error", fail);
    shell.once("close", (status) => (status === 0 ? done(output) : fail(new Error(`status ${status}: ${output}`))));
    shell.stdin.end(`${text}\n`);
  });
}

const countEvents = async () => {
  const { points } = await dashboard(env.server.url).getErrorRate(PANEL_REQUEST);
  return points.reduce((sum, point) => sum + Number(point.events), 0);
};

// The server's address is not known yet: only ids are used here.
for (const { id } of snippets("http://127.0.0.1:1")) {
  const tool = TOOLS[id];
  const missing = isInstalled(tool) ? "" : ` (skipped: ${tool} is not installed)`;
  test.skipIf(missing)(`the ${id} snippet works as it is pasted${missing}`, async () => {
    const before = await countEvents();
    const snippet = snippets(env.server.url).find((snippet) => snippet.id === id);
    expect(await paste(snippet?.text ?? "")).toMatch(/"accepted": ?"?1"?/);
    await expect.poll(countEvents, { timeout: 15_000 }).toBe(before + 1);
  });
}
