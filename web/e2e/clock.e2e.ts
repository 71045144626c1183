// Clocks and time zones: a browser whose clock is wrong, zones with unusual offsets, the day on which the clock changes.

import { readFile } from "node:fs/promises";
import { afterAll, expect, test } from "vitest";
import { openPage } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { startProxy } from "./faults.ts";
import { asOf, card, chooseInMenu, eventually, figure, waitForConnection, waitForFigures } from "./hooks.ts";
import { panelFolder } from "./panelFiles.ts";
import { generateEvents } from "./server.ts";

/** Half-hours around the end of summer time in Madrid, on 25 October 2026 at 01:00 UTC. */
const CLOCK_CHANGE = Date.parse("2026-10-25T00:00:00Z") / 1000;
const folder = panelFolder([
  {
    name: "clock_change",
    title: "Clock change",
    chart: "table",
    sql: `SELECT toDateTime(${CLOCK_CHANGE} + 1800 * arrayJoin(range(4)), 'UTC') AS half_hour, 5 AS signups ORDER BY half_hour`,
  },
]);
afterAll(() => folder.close());
const env = testEnvironment((url) => generateEvents(url, "--rate", "20", "--backfill", "10m", "--duration", "1s"), {
  MILLRACE_PANELS_DIR: folder.path,
});

const MINUTE = 60_000;

/** Shifts the clock of a script's global scope, once: workers have their own. */
const shiftClock = (offsetMs: number) => `if (!globalThis.clockIsShifted) {
  globalThis.clockIsShifted = true;
  const Real = Date;
  globalThis.Date = new Proxy(Real, {
    construct: (target, args, self) => Reflect.construct(target, args.length ? args : [Real.now() + ${offsetMs}], self),
    apply: () => new Real(Real.now() + ${offsetMs}).toString(),
    get: (target, key) => key === "now" ? () => Real.now() + ${offsetMs} : Reflect.get(target, key),
  });
}`;

test("with a browser clock that is 10 minutes off, the page is live and the age of its figures is right", async () => {
  const opened = await Promise.all(
    [10, -10].map(async (minutes) => {
      const proxy = await startProxy(env.url, { prepend: shiftClock(minutes * MINUTE) });
      return { minutes, proxy, ...(await openPage(env.browser, `${proxy.url}/?range=1h&zone=utc`)) };
    }),
  );
  for (const { page, minutes } of opened) {
    await waitForConnection(page, "live");
    await waitForFigures(page);
    const skew = (await page.evaluate(() => Date.now())) - Date.now();
    expect(Math.round(skew / MINUTE), "the clock is shifted").toBe(minutes);
    expect(Math.abs((await asOf(page)) - Date.now()), "of the server's clock").toBeLessThan(2 * MINUTE);
  }
  env.server.freeze();
  try {
    for (const { page } of opened) {
      await waitForConnection(page, "stale", "offline");
      const banner = await page.locator("[data-banner]").innerText();
      const clock = new Date(await asOf(page)).toISOString().slice(11, 16);
      expect(banner, "the time of the figures, or their age").toMatch(new RegExp(`${clock}|\\b\\d+ ?s(ec\\w*)?\\b`));
      expect(banner).not.toMatch(/\b(9|1\d) ?min/);
    }
  } finally {
    env.server.thaw();
  }
  for (const { page, proxy, errors, close } of opened) {
    await waitForConnection(page, "live");
    expect(errors).toEqual([]);
    await close();
    await proxy.close();
  }
});

test.each(["Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Europe/Madrid"])(
  "the figures are drawn in the zone %s, in every range",
  async (zone) => {
    const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=${zone}`, {
      timezoneId: "Asia/Tokyo",
    });
    for (const [key, range] of [
      ["4", "7d"],
      ["3", "24h"],
      ["2", "6h"],
    ] as const) {
      await waitForFigures(page);
      await page.keyboard.press(key);
      await eventually(
        "the address",
        () => page.url(),
        (url) => url.includes(`range=${range}`) && decodeURIComponent(url).includes(zone),
      );
    }
    await waitForFigures(page);
    expect(await figure(page, "active_users")).toMatch(/\d/);
    expect(errors).toEqual([]);
    await close();
  },
);

test("the hour that occurs twice is shown twice, and told apart", async () => {
  const { page, close } = await openPage(env.browser, `${env.url}/?range=1h&zone=Europe/Madrid`);
  await card(page, "clock_change").waitFor({ timeout: 60_000 });
  await waitForFigures(page);
  const times = await eventually(
    "the times in the table",
    () => card(page, "clock_change").locator("tbody tr, [role=rowgroup] [role=row]").allInnerTexts(),
    (rows) => rows.length >= 4,
  );
  const clocks = times.map((row) => /\d?\d:\d\d/.exec(row)?.[0]);
  expect(clocks.slice(-4)).toEqual(["02:00", "02:30", "02:00", "02:30"]);
  expect(new Set(times.slice(-4)).size, "with their offsets").toBe(4);
  const [file] = await Promise.all([page.waitForEvent("download"), chooseInMenu(page, "clock_change", /csv/i)]);
  const instants = (await readFile(await file.path())).toString().trim().split("\r\n").slice(1);
  expect(new Set(instants).size, "instants in the file").toBe(4);
  await close();
});
