import { existsSync } from "node:fs";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import puppeteer, { type Browser as PuppeteerBrowser } from "puppeteer-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** Chromium without its windows: the same tests need a fifth less CPU. Measurements are of the browser that people have. */
const HEADLESS_SHELL = "/usr/bin/chromium-headless-shell";
const hasShell = !process.env.CHROMIUM && import.meta.env.MODE !== "measure" && existsSync(HEADLESS_SHELL);

/** A browser without background requests, so that it contacts only the test server. */
export const launch = (extraArgs: string[] = []): Promise<Browser> =>
  chromium.launch({
    executablePath: hasShell ? HEADLESS_SHELL : CHROMIUM,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...extraArgs,
    ],
  });

/** Chromium with what Playwright hides: tabs are hidden behind each other, as a user's are, and shared workers are targets. */
export const launchPlain = (): Promise<PuppeteerBrowser> =>
  puppeteer.launch({
    executablePath: CHROMIUM,
    headless: true,
    args: ["--no-sandbox", "--disable-gpu"],
  });

/** Firefox over WebDriver BiDi. */
export const launchFirefox = (): Promise<PuppeteerBrowser> =>
  puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    headless: true,
    extraPrefsFirefox: { "intl.accept_languages": "en-GB" },
  });

export const WIDTHS = { phone: 390, tablet: 820, desktop: 1440, wall: 2560 } as const;

/** Opens a page in its own browser context. `errors` collects uncaught exceptions and CSP violations. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; errors: string[]; close: () => Promise<void> }> {
  const context = await browser.newContext({
    viewport: { width: WIDTHS.desktop, height: 1000 },
    colorScheme: "dark",
    locale: "en-GB",
    timezoneId: "Europe/Madrid",
    ...options,
  });
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) errors.push(message.text());
  });
  await page.goto(url);
  return { page, errors, close: () => context.close() };
}

/** The visible text of a panel. */
export const panelText = (page: Page, name: string): Promise<string> =>
  page.locator(`[data-panel="${name}"]`).first().innerText();

/** Waits until a panel's text matches. On timeout the error contains the last text. */
export async function waitForPanel(page: Page, name: string, matches: (text: string) => boolean, ms = 10_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const text = await panelText(page, name).catch(() => "");
    if (matches(text)) return text;
    if (Date.now() > deadline) throw new Error(`panel ${name} shows: ${text}`);
    await page.waitForTimeout(25);
  }
}
