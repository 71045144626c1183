// Pages of other origins, in a real browser: they neither send events nor read panels.

import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, open } from "./browser.ts";
import { type Server, startServer } from "./server.ts";

// A name that an attacker owns and has lead to the server: DNS rebinding.
const REBOUND_HOST = "evil.example";

let server: Server;
let browser: Browser;
let elsewhere: HttpServer;

beforeAll(async () => {
  server = await startServer();
  browser = await launch([`--host-resolver-rules=MAP ${REBOUND_HOST} 127.0.0.1`]);
  elsewhere = createServer((_, response) => response.setHeader("content-type", "text/html").end("<p>another page"));
  await new Promise<void>((done) => elsewhere.listen(0, "127.0.0.1", done));
});
afterAll(async () => {
  await browser?.close();
  elsewhere?.close();
  await server?.close();
});

const accepted = async () => (await (await fetch(`${server.url}/health`)).json()).events_accepted;

/** What a page learns when it sends an event and asks for panels; an error is none. */
async function attempts(from: string, target: string) {
  const { page, close } = await open(browser, from);
  const learned = await page.evaluate(async (target) => {
    const event = { event_name: "forged", timestamp: new Date().toISOString(), session_id: "s" };
    const body = JSON.stringify([event]);
    const ask = async (path: string, init: RequestInit) => {
      try {
        const response = await fetch(target + path, init);
        return `${response.type} ${response.status}`;
      } catch {
        return "error";
      }
    };
    return {
      text: await ask("/events", { method: "POST", mode: "no-cors", body }),
      untyped: await ask("/events", { method: "POST", mode: "no-cors", body: new Blob([body]) }),
      json: await ask("/events", { method: "POST", body, headers: { "content-type": "application/json" } }),
      beacon: navigator.sendBeacon(`${target}/events`, body),
      panels: await ask("/api/panels", {}),
    };
  }, target);
  await close();
  return learned;
}

test("a page of another origin sends no event and reads no panel", async () => {
  const { port } = elsewhere.address() as AddressInfo;
  const learned = await attempts(`http://127.0.0.1:${port}/`, server.url);
  expect(learned).toMatchObject({ json: "error", panels: "error" });
  expect(await accepted()).toBe("0");
});

test("a name that was made to lead to the server is refused", async () => {
  const rebound = server.url.replace("127.0.0.1", REBOUND_HOST);
  const learned = await attempts(`${rebound}/`, rebound);
  expect(learned).toMatchObject({ text: "basic 403", untyped: "basic 403", json: "basic 403", panels: "basic 403" });
  expect(await accepted()).toBe("0");
});

test("the server's own page sends and reads", async () => {
  const learned = await attempts(`${server.url}/`, server.url);
  expect(learned).toMatchObject({ text: "basic 415", json: "basic 200", panels: "basic 200" });
  expect(await accepted()).toBe("1");
});
