// Every page besides the dashboards while the server is killed and restarted: each says that it is not live, keeps what it
// showed, and recovers without a reload. One server; all pages are open at the same time.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openPage } from "./browser.ts";
import { ingest } from "./client.ts";
import { testEnvironment } from "./environment.ts";
import { type FaultProxy, startProxy } from "./faults.ts";
import { eventually, markDocument, waitForConnection, wasReloaded } from "./hooks.ts";
import { generateEvents } from "./server.ts";

const folder = await mkdtemp(join(tmpdir(), "millrace-insights-"));
await mkdir(join(folder, "dashboards"));
afterAll(() => rm(folder, { recursive: true, force: true }));
const env = testEnvironment((url) => generateEvents(url, "--rate", "2", "--backfill", "30m", "--duration", "1s"), {
  MILLRACE_INSIGHTS_DIR: folder,
});

interface Case {
  path: string;
  /** What the page shows, which must stay. */
  shown: (page: Page) => Promise<(string | null)[]>;
  /** What it says besides the banner. */
  away: (page: Page) => Promise<void>;
  /** Asks for something while the server is away, and sees that there is no result. */
  ask?: (page: Page) => Promise<void>;
  /** What happens after the restart, and what was asked before it, is on the page. */
  news: (page: Page) => Promise<void>;
}

const texts = (page: Page, selector: string) => page.locator(selector).allInnerTexts();
/** Of the first rows: a list draws those that are on the screen, and the banner takes space of it. */
const attributes = async (page: Page, selector: string, name: string) =>
  (await page.locator(selector).evaluateAll((all, name) => all.map((each) => each.getAttribute(name)), name)).slice(
    0,
    8,
  );
/** An event of its own after the restart. */
const AFTER = "after_restart";

const people = (page: Page) => attributes(page, "[data-person]", "data-person");

const CASES: Record<string, Case> = {
  Explore: {
    path: `/explore?range=1h&s=page_view&s=${AFTER}&chart=line`,
    shown: (page) => texts(page, ".explore-table tbody th"),
    away: (page) => page.locator(".explore-foot .text-warn").waitFor(),
    ask: async (page) => {
      await page.keyboard.press("2");
      await page.locator('.explore-result[data-state="failed"]').waitFor();
    },
    news: async (page) => {
      await eventually(
        `the total of ${AFTER}`,
        () => texts(page, ".explore-table tbody td:nth-child(2)"),
        (totals) => totals.includes("1"),
      );
    },
  },
  "Live events": {
    path: "/live",
    shown: (page) => attributes(page, "[data-event]", "data-event"),
    away: (page) => page.locator('[data-stream="retrying"]').waitFor(),
    news: (page) => page.locator(`[data-event="${AFTER}"]`).waitFor(),
  },
  People: {
    path: "/people",
    shown: people,
    away: async () => {},
    ask: async (page) => {
      await page.getByRole("searchbox").fill((await people(page))[0] ?? "");
      await page.getByRole("button", { name: "Search", exact: true }).click();
      await page.getByRole("main").getByRole("button", { name: "Retry" }).waitFor();
    },
    news: async (page) => {
      const wanted = await page.getByRole("searchbox").inputValue();
      await page.locator(`[data-person="${wanted}"]`).waitFor();
    },
  },
  "Data and health": {
    path: "/status",
    shown: (page) => texts(page, "main h2"),
    away: (page) => page.locator('[data-mood="danger"]').waitFor(),
    news: async (page) => {
      await page.locator('[data-mood="good"]').waitFor();
      await page.getByRole("button", { name: AFTER }).waitFor();
    },
  },
  Dashboards: {
    path: "/dashboards",
    shown: (page) => attributes(page, "[data-dashboard]", "data-dashboard"),
    away: async () => {},
    news: (page) => page.locator('[data-dashboard="shop"]').waitFor(),
  },
};

let proxy: FaultProxy;
const open = new Map<string, { page: Page; errors: string[]; close: () => Promise<void>; before: (string | null)[] }>();
const of = (name: string) => {
  const found = open.get(name);
  if (!found) throw new Error(`${name} is not open`);
  return { ...found, ...(CASES[name] as Case) };
};

beforeAll(async () => {
  proxy = await startProxy(env.url);
  for (const [name, { path, shown }] of Object.entries(CASES)) {
    const opened = await openPage(env.browser, proxy.url + path);
    const { page } = opened;
    await waitForConnection(page, "live");
    const before = await eventually(
      `what ${name} shows`,
      () => shown(page),
      (list) => list.length > 0,
    );
    await markDocument(page);
    open.set(name, { ...opened, before });
  }
});
afterAll(async () => {
  for (const { close } of open.values()) await close();
  await proxy?.close();
});

const NAMES = Object.keys(CASES);

describe("a killed server", () => {
  beforeAll(() => env.server.kill());

  test.each(NAMES)("%s says that it is not live, and keeps what it showed", async (name) => {
    const { page, before, shown, away, ask } = of(name);
    await waitForConnection(page, "stale", "offline");
    const banner = page.locator("[role=status][data-banner]");
    await banner.waitFor();
    expect(await banner.innerText()).toMatch(/\bas of \d\d:\d\d/i);
    await away(page);
    expect(await shown(page)).toEqual(before);
    await ask?.(page);
  });
});

describe("a restarted server", () => {
  beforeAll(async () => {
    await env.server.start();
    await ingest(env.url).sendEvents({
      events: [{ eventName: AFTER, sessionId: "s-after", timestamp: timestampFromMs(Date.now()) }],
    });
    await writeFile(join(folder, "dashboards", "shop.yaml"), "title: Shop\nitems:\n  - panel: error_rate\n");
  });

  test.each(NAMES)("%s is live again without a reload", async (name) => {
    const { page, errors, news } = of(name);
    await waitForConnection(page, "live");
    await page.locator("[data-banner]").waitFor({ state: "detached" });
    await news(page);
    expect(await wasReloaded(page)).toBe(false);
    expect(errors).toEqual([]);
  });
});
