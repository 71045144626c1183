// What the tests of a file play on: a server with its traffic, and a browser, ended after them.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { launch } from "./browser.ts";
import { type Server, startServer } from "./server.ts";

export interface Stage {
  readonly server: Server;
  readonly browser: Browser;
  readonly url: string;
}

/** `fill` sends the events that are there before the first test. */
export function stage(fill: (url: string) => Promise<void> = async () => {}, env: Record<string, string> = {}): Stage {
  let server: Server;
  let browser: Browser;
  beforeAll(async () => {
    server = await startServer(env);
    await fill(server.url);
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });
  return {
    get server() {
      return server;
    },
    get browser() {
      return browser;
    },
    get url() {
      return server.url;
    },
  };
}
