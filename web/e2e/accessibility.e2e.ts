// At four widths and in both themes: nothing overflows, axe finds nothing, and everything works with the keyboard alone.

import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { openPage, WIDTHS } from "./browser.ts";
import { testEnvironment } from "./environment.ts";
import { eventually, waitForCharts } from "./hooks.ts";
import { accessibilityViolations, textsOutsideCards } from "./layout.ts";
import { generateEvents } from "./server.ts";

// No traffic during the tests: axe looks at one state of the page.
const env = testEnvironment((url) => generateEvents(url, "--rate", "0.1", "--backfill", "8d", "--duration", "1s"));

const PANEL = "error_rate";
const MENU_BUTTON = `[data-panel="${PANEL}"] [aria-haspopup=menu]`;
const MAX_TAB_STOPS = 120;

/** Presses Tab until the focused element matches the selector, and its text or name the pattern. */
async function tabTo(page: Page, what: string, selector: string, pattern = ""): Promise<void> {
  for (let stop = 0; stop < MAX_TAB_STOPS; stop += 1) {
    await page.keyboard.press("Tab");
    const found = await page.evaluate(
      ([selector, pattern]) => {
        const element = document.activeElement;
        const name = element?.textContent?.trim() || element?.getAttribute("aria-label") || "";
        return element?.matches(selector) === true && new RegExp(pattern).test(name);
      },
      [selector, pattern] as const,
    );
    if (found) return;
  }
  throw new Error(`${what} is not reached with Tab`);
}

/** Chooses an item of the open menu with the arrow keys. */
async function arrowTo(page: Page, item: RegExp): Promise<void> {
  const role = "menuitem";
  await page.getByRole(role).first().waitFor();
  for (let step = 0; step < 20; step += 1) {
    // The menu itself has the focus at first, and the texts of all of its items.
    const focused = await page.evaluate((role) => {
      const { activeElement } = document;
      return activeElement?.matches(`[role=${role}]`) ? activeElement.textContent : "";
    }, role);
    if (item.test(focused)) return page.keyboard.press("Enter");
    await page.keyboard.press("ArrowDown");
  }
  throw new Error(`${item} is not reached with the arrow keys`);
}

const dialogs = (page: Page) => page.getByRole("dialog").filter({ visible: true });
const focus = (page: Page) =>
  page.evaluate((selector) => {
    const element = document.activeElement;
    return { element: element?.outerHTML.slice(0, 120), isMenuButton: element?.matches(selector) };
  }, MENU_BUTTON);

async function leaveDialog(page: Page): Promise<void> {
  await page.keyboard.press("Escape");
  await eventually(
    "open dialogs",
    () => dialogs(page).count(),
    (count) => count === 0,
  );
  await eventually(
    "the focus after the dialog",
    () => focus(page),
    ({ isMenuButton }) => isMenuButton === true,
  );
}

describe.each(["dark", "light"] as const)("in the %s theme", (colorScheme) => {
  test.each(Object.values(WIDTHS))("at %i px", async (width) => {
    const { page, errors, close } = await openPage(env.browser, `${env.url}/?range=24h&zone=utc`, {
      colorScheme,
      viewport: { width, height: 900 },
    });
    await waitForCharts(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    expect(await textsOutsideCards(page)).toEqual([]);
    expect(await accessibilityViolations(page)).toEqual([]);

    await tabTo(page, "the range", "[data-range]");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Choose the time range" }).waitFor();
    expect(await accessibilityViolations(page), "with the calendar").toEqual([]);
    await tabTo(page, "the last 6 hours", "[data-preset='6h']");
    await page.keyboard.press("Enter");
    await page.waitForURL(/range=6h/);
    await waitForCharts(page);
    await tabTo(page, "the menu's button", MENU_BUTTON);
    await page.keyboard.press("Enter");
    await page.getByRole("menu").waitFor();
    expect(await accessibilityViolations(page), "with an open menu").toEqual([]);
    await arrowTo(page, /sql/i);
    await dialogs(page).first().waitFor();
    expect(await dialogs(page).innerText()).toContain("SELECT");
    expect(await accessibilityViolations(page), "with the SQL").toEqual([]);
    const sideways = await dialogs(page).evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth);
    expect(sideways, "the dialog does not scroll sideways").toBeLessThanOrEqual(0);
    await leaveDialog(page);

    await page.keyboard.press("Enter");
    await arrowTo(page, /enlarge|expand/i);
    await dialogs(page).locator(`[data-panel="${PANEL}"]`).waitFor();
    expect(page.url()).toContain(`panel=${PANEL}`);
    await waitForCharts(page);
    expect(await accessibilityViolations(page), "with an enlarged panel").toEqual([]);
    await leaveDialog(page);
    expect(page.url()).not.toContain("panel=");
    expect(errors).toEqual([]);
    await close();
  });
});
