// Pages of other origins can neither send events nor read panels.

import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, openPage } from "./browser.ts";
import { startServer, type TestServer } from "./server.ts";

// DNS rebinding: a host name of the attacker that resolves to the server.
const REBOUND_HOST = "evil.example";

let server: TestServer;
let browser: Browser;
let otherOrigin: HttpServer;

beforeAll(async () => {
  server = await startServer();
  browser = await launch([`--host-resolver-rules=MAP ${REBOUND_HOST} 127.0.0.1`]);
  otherOrigin = createServer((_, response) => response.setHeader("content-type", "text/html").end("<p>another page"));
  await new Promise<void>((done) => otherOrigin.listen(0, "127.0.0.1", done));
});
afterAll(async () => {
  await browser?.close();
  otherOrigin?.close();
  await server?.close();
});

const acceptedEvents = async () => (await (await fetch(`${server.url}/health`)).json()).events_accepted;

/** Sends an event and reads the panels from a page. Returns what its script sees: type and status, or "error". */
async function requestsFrom(from: string, target: string) {
  const { page, close } = await openPage(browser, from);
  const results = await page.evaluate(async (target) => {
    const event = { event_name: "forged", timestamp: new Date().toISOString(), session_id: "s" };
    const body = JSON.stringify([event]);
    const request = async (path: string, init: RequestInit) => {
      try {
        const response = await fetch(target + path, init);
        return `${response.type} ${response.status}`;
      } catch {
        return "error";
      }
    };
    return {
      text: await request("/events", { method: "POST", mode: "no-cors", body }),
      untyped: await request("/events", { method: "POST", mode: "no-cors", body: new Blob([body]) }),
      json: await request("/events", { method: "POST", body, headers: { "content-type": "application/json" } }),
      beacon: navigator.sendBeacon(`${target}/events`, body),
      panels: await request("/api/panels", {}),
    };
  }, target);
  await close();
  return results;
}

test("a page of another origin cannot send events or read panels", async () => {
  const { port } = otherOrigin.address() as AddressInfo;
  const results = await requestsFrom(`http://127.0.0.1:${port}/`, server.url);
  expect(results).toMatchObject({ json: "error", panels: "error" });
  expect(await acceptedEvents()).toBe(0);
});

test("a request with a rebound host name is rejected", async () => {
  const rebound = server.url.replace("127.0.0.1", REBOUND_HOST);
  const results = await requestsFrom(`${rebound}/`, rebound);
  expect(results).toMatchObject({ text: "basic 403", untyped: "basic 403", json: "basic 403", panels: "basic 403" });
  expect(await acceptedEvents()).toBe(0);
});

test("the server's own page can send events and read panels", async () => {
  const results = await requestsFrom(`${server.url}/`, server.url);
  expect(results).toMatchObject({ text: "basic 200", untyped: "basic 415", json: "basic 200", panels: "basic 200" });
  expect(results).toMatchObject({ beacon: true });
  // The beacon has no response.
  await expect.poll(acceptedEvents, { timeout: 60_000 }).toBe(3);
});
