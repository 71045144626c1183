// Log-in with a key, on a server that requires keys.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, openPage } from "./browser.ts";
import { waitForConnection } from "./hooks.ts";
import { accessibilityViolations } from "./layout.ts";
import { keysCommand, startServer, type TestServer } from "./server.ts";

let server: TestServer;
let browser: Browser;
const keys: Record<string, string> = {};

beforeAll(async () => {
  server = await startServer();
  browser = await launch();
  for (const scope of ["write", "read"]) keys[scope] = await keysCommand(server.data, "create", "--scope", scope);
  // The running server follows the file.
  const requiresKeys = async () => (await (await fetch(`${server.url}/api/session`)).json()).required;
  while (!(await requiresKeys())) await new Promise((done) => setTimeout(done, 50));
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

test("a key that reads logs in, until the log-out or until it is revoked", async () => {
  const { page, errors, close } = await openPage(browser, `${server.url}/?range=6h`);
  const form = page.locator("[data-log-in]");
  const field = form.locator("input");
  const attempt = async (key: string) => {
    await field.fill(key);
    await page.keyboard.press("Enter");
  };
  await form.waitFor();
  expect(await accessibilityViolations(page)).toEqual([]);
  // The field has the focus.
  await page.keyboard.type("mr_read_wrong");
  await page.keyboard.press("Enter");
  await form.getByRole("alert").filter({ hasText: "this is not a key" }).waitFor();
  await attempt(keys.write ?? "");
  await form.getByRole("alert").filter({ hasText: "needs the scope read or admin" }).waitFor();
  expect(await accessibilityViolations(page)).toEqual([]);

  await attempt(keys.read ?? "");
  await waitForConnection(page, "live");
  expect(page.url()).toContain("range=6h");
  const cookies = await page.context().cookies();
  expect(cookies).toMatchObject([{ name: "millrace_session", httpOnly: true, sameSite: "Strict", path: "/" }]);
  await page.reload();
  await waitForConnection(page, "live");

  await page.getByRole("button", { name: "Log out" }).click();
  await form.waitFor();
  expect(await page.context().cookies()).toEqual([]);

  await attempt(keys.read ?? "");
  await waitForConnection(page, "live");
  await keysCommand(server.data, "revoke", keys.read?.split("_")[2] ?? "");
  await form.waitFor();
  expect(await page.locator("[data-connection]").count()).toBe(0);
  expect(errors).toEqual([]);
  await close();
});

test("the log-in follows the theme", async () => {
  for (const colorScheme of ["dark", "light"] as const) {
    const { page, close } = await openPage(browser, server.url, { colorScheme });
    await page.locator("[data-log-in]").waitFor();
    expect(await accessibilityViolations(page), colorScheme).toEqual([]);
    await close();
  }
});
