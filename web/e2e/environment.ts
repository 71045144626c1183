// One server and one browser per test file, closed after its tests.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { launch } from "./browser.ts";
import { health, ingest } from "./client.ts";
import { eventually } from "./hooks.ts";
import { startServer, type TestServer } from "./server.ts";

export interface TestEnvironment {
  readonly server: TestServer;
  readonly browser: Browser;
  readonly url: string;
  /** Sends one page view. */
  sendEvent: () => Promise<void>;
}

/** `seed` sends events before the first test, which begins when they have landed: figures grow until then. */
export function testEnvironment(
  seed: (url: string) => Promise<void> = async () => {},
  serverEnv: Record<string, string> = {},
): TestEnvironment {
  let server: TestServer;
  let browser: Browser;
  beforeAll(async () => {
    server = await startServer(serverEnv);
    await seed(server.url);
    await eventually(
      "events that have not landed",
      async () => (await health(server.url).check({})).health?.bufferSize,
      (count) => count === 0n,
    );
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
    async sendEvent() {
      await ingest(server.url).sendEvents({
        events: [{ eventName: "page_view", sessionId: "e2e", timestamp: timestampFromMs(Date.now()) }],
      });
    },
  };
}
