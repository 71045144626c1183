// A page of another origin sends events with a browser key: counted from the key's origins, refused from others.

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Browser, Request } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, openPage } from "./browser.ts";
import { eventually } from "./hooks.ts";
import { BINARY, startServer, type TestServer } from "./server.ts";

const tools = process.env.MILLRACE_TEST_TOOLS ?? "";
const ANALYTICS = join(tools, "node/node_modules/@segment/analytics-next/dist/umd/index.js");

let server: TestServer;
let browser: Browser;
let pages: HttpServer;
/** One server, two origins: the key names the first one. */
let allowed: string;
let other: string;
const keys: Record<string, string> = {};

const keysCommand = async (...options: string[]): Promise<string> =>
  (await promisify(execFile)(BINARY, ["keys", ...options, "--data-dir", server.data])).stdout.trim();

beforeAll(async () => {
  server = await startServer();
  pages = createServer((request, response) => {
    const isScript = request.url === "/analytics.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? readFileSync(ANALYTICS) : "<title>Shop</title>");
  });
  await new Promise<void>((done) => pages.listen(0, "127.0.0.1", done));
  const { port } = pages.address() as AddressInfo;
  allowed = `http://shop.localhost:${port}`;
  other = `http://other.localhost:${port}`;
  browser = await launch(["--host-resolver-rules=MAP *.localhost 127.0.0.1"]);
  keys.browser = await keysCommand("create", "--scope", "browser", "--origin", allowed);
  keys.read = await keysCommand("create", "--scope", "read");
  const requiresKeys = async () => (await (await fetch(`${server.url}/api/session`)).json()).required;
  await eventually("keys are required", requiresKeys, (required) => required);
});
afterAll(async () => {
  await browser?.close();
  pages?.close();
  await server?.close();
});

async function acceptedEvents(): Promise<number> {
  const response = await fetch(`${server.url}/health`, { headers: { authorization: `Bearer ${keys.read}` } });
  return (await response.json()).events_accepted;
}

/** Opens a page that keeps the responses of the server, preflights included, and what the browser complains about. */
async function openShop(origin: string) {
  const opened = await openPage(browser, `${origin}/`);
  const responses: string[] = [];
  const failed: string[] = [];
  const complaints: string[] = [];
  // Playwright does not report preflights; the protocol does.
  const session = await opened.page.context().newCDPSession(opened.page);
  await session.send("Network.enable");
  const methods = new Map<string, string>();
  session.on("Network.requestWillBeSent", ({ requestId, request }) => methods.set(requestId, request.method));
  session.on("Network.responseReceived", ({ requestId, response }) => {
    const { pathname } = new URL(response.url);
    if (response.url.startsWith(server.url)) responses.push(`${methods.get(requestId)} ${pathname} ${response.status}`);
  });
  opened.page.on("requestfailed", (request: Request) => failed.push(new URL(request.url()).pathname));
  opened.page.on("console", (message) => complaints.push(message.text()));
  return { ...opened, responses, failed, complaints };
}

/** Sends an event with fetch and one with a beacon. Returns what the page sees of them. */
const sendFrom = (page: Awaited<ReturnType<typeof openShop>>["page"]) =>
  page.evaluate(
    async ({ url, key }) => {
      const event = { event_name: "page_view", timestamp: new Date().toISOString(), session_id: "s" };
      const body = JSON.stringify([event]);
      const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
      const fetched = await fetch(`${url}/events`, { method: "POST", headers, body }).then(
        async (response) => `${response.type} ${response.status} ${(await response.json()).accepted}`,
        (error) => String(error),
      );
      return { fetched, beacon: navigator.sendBeacon(`${url}/events?key=${key}`, body) };
    },
    { url: server.url, key: keys.browser },
  );

test("fetch and sendBeacon from an origin of the key are counted", async () => {
  const before = await acceptedEvents();
  const shop = await openShop(allowed);
  expect(await sendFrom(shop.page)).toEqual({ fetched: "cors 200 1", beacon: true });
  await eventually("both events are accepted", acceptedEvents, (accepted) => accepted === before + 2);
  await eventually(
    "both have a response",
    () => shop.responses,
    (responses) => responses.length === 3,
  );
  expect(shop.responses.sort()).toEqual(["OPTIONS /events 204", "POST /events 200", "POST /events 200"]);
  expect(shop.complaints).toEqual([]);
  await shop.close();
});

test("fetch and sendBeacon from another origin are refused, and the page sees an error of CORS", async () => {
  const before = await acceptedEvents();
  const shop = await openShop(other);
  expect(await sendFrom(shop.page)).toEqual({ fetched: "TypeError: Failed to fetch", beacon: true });
  // The beacon is sent without a preflight. It fails when its response arrives, which the page must not have.
  await eventually(
    "both are refused",
    () => shop.failed,
    (failed) => failed.length === 2,
  );
  expect(shop.responses).toEqual(["OPTIONS /events 403"]);
  expect(shop.complaints.join()).toContain("blocked by CORS policy");
  expect(await acceptedEvents()).toBe(before);
  await shop.close();
});

test("Segment's analytics.js sends its calls to another host", async () => {
  const before = await acceptedEvents();
  const shop = await openShop(allowed);
  await shop.page.addScriptTag({ url: "/analytics.js" });
  await shop.page.evaluate(
    async ({ host, key }) => {
      // biome-ignore lint/suspicious/noExplicitAny: the global of the script
      const { AnalyticsBrowser } = (window as any).AnalyticsNext;
      const segment = { apiKey: key, apiHost: `${host}/v1`, protocol: "http" };
      const analytics = AnalyticsBrowser.load({
        writeKey: key,
        cdnSettings: { integrations: { "Segment.io": segment } },
      });
      await analytics.page("Front page");
      await analytics.track("order_completed", { total: 12.5 });
    },
    { host: new URL(server.url).host, key: keys.browser },
  );
  await eventually("both calls are accepted", acceptedEvents, (accepted) => accepted === before + 2);
  const expected = ["OPTIONS /v1/p 204", "OPTIONS /v1/t 204", "POST /v1/p 200", "POST /v1/t 200"];
  await eventually(
    "both have a response",
    () => shop.responses,
    (responses) => responses.length === expected.length,
  );
  expect(shop.responses.sort()).toEqual(expected);
  expect(shop.failed).toEqual([]);
  expect(shop.complaints).toEqual([]);
  await shop.close();
});
