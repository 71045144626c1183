// What tests read from the page: attributes that state what is shown, independent of wording and markup.

import type { Locator, Page } from "playwright-core";

/** `[data-connection]` of the status. */
export type Connection = "connecting" | "live" | "polling" | "stale" | "offline" | "denied";

/** No wait is shorter than this, whatever a figure's threshold is: the machine may be busy. */
const PATIENCE_MS = 60_000;

export const card = (page: Page, panel: string): Locator => page.locator(`[data-panel="${panel}"]`).first();

/** The lead figure's text. */
export const figure = (page: Page, panel: string): Promise<string> =>
  card(page, panel).locator("[data-figure]").first().innerText();

export const connection = (page: Page): Promise<string | null> =>
  page.locator("[data-connection]").first().getAttribute("data-connection");

/** Waits until the status is one of `states`; returns it and how long it took. */
export async function waitForConnection(
  page: Page,
  ...states: Connection[]
): Promise<{ state: Connection; afterMs: number }> {
  const since = performance.now();
  const selector = states.map((state) => `[data-connection="${state}"]`).join(", ");
  await page.waitForSelector(selector, { timeout: PATIENCE_MS, state: "attached" }).catch(async (error) => {
    throw new Error(`the status is ${await connection(page).catch(() => "missing")}, not ${states}`, { cause: error });
  });
  return { state: (await connection(page)) as Connection, afterMs: Math.round(performance.now() - since) };
}

/** When the figures were computed, in milliseconds since 1970. */
export async function asOf(page: Page): Promise<number> {
  return Date.parse((await page.locator("[data-as-of]").first().getAttribute("data-as-of")) ?? "");
}

/** Waits until every card shows current figures of the chosen query. */
export async function waitForFigures(page: Page): Promise<void> {
  await page.waitForFunction(
    () => {
      const cards = [...document.querySelectorAll<HTMLElement>("[data-panel]")];
      const settled = (card: HTMLElement) => card.dataset.state === "live" && card.dataset.placeholder === undefined;
      return cards.length > 0 && cards.every(settled);
    },
    undefined,
    { timeout: PATIENCE_MS },
  );
}

/** Waits until the code of every chart is loaded: without the server it cannot be. */
export async function waitForChartCode(page: Page): Promise<void> {
  await page.waitForFunction(() => !document.querySelector("[data-chart] .skeleton"), undefined, {
    timeout: PATIENCE_MS,
  });
}

/** Waits until every visible chart has drawn something: canvases have coloured pixels, other charts have content. */
export async function waitForCharts(page: Page): Promise<void> {
  await waitForFigures(page);
  await page.waitForFunction(
    () => {
      const isDrawn = (chart: Element) => {
        if (chart.getClientRects().length === 0) return true;
        const canvas = chart.querySelector("canvas");
        if (!canvas) return chart.childElementCount > 0;
        const { width, height } = canvas;
        if (width === 0 || height === 0) return false;
        const pixels = canvas.getContext("2d")?.getImageData(0, 0, width, height).data ?? [];
        return pixels.some((value) => value !== 0);
      };
      const charts = [...document.querySelectorAll("[data-chart]")];
      // Charts off screen may wait until they are scrolled into view.
      const onScreen = charts.filter((chart) => chart.getBoundingClientRect().top < window.innerHeight);
      return onScreen.length > 0 && onScreen.every(isDrawn);
    },
    undefined,
    { timeout: PATIENCE_MS, polling: 200 },
  );
}

/** Waits until `read` returns a value that `matches`, or fails with the last one. */
export async function eventually<T>(
  what: string,
  read: () => T | Promise<T>,
  matches: (value: T) => boolean,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const value = await read();
    if (matches(value)) return value;
    if (performance.now() > deadline) throw new Error(`${what}: ${JSON.stringify(value)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** Marks the document, to tell later whether it was reloaded. */
export const markDocument = (page: Page) => page.evaluate(() => Object.assign(window, { notReloaded: true }));
export const wasReloaded = (page: Page) => page.evaluate(() => !("notReloaded" in window));

/** Opens a card's menu and chooses an item. */
export async function chooseInMenu(page: Page, panel: string, item: RegExp): Promise<void> {
  await card(page, panel).locator("[aria-haspopup=menu]").click();
  await page.getByRole("menuitem", { name: item }).first().click();
}
