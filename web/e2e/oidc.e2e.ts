// Log-in at an OpenID Connect provider, and the choice among the projects of a person.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, openPage } from "./browser.ts";
import { eventually, figure, waitForConnection, waitForFigures } from "./hooks.ts";
import { accessibilityViolations } from "./layout.ts";
import { startProvider, type TestProvider } from "./provider.ts";
import { keysCommand, startServer, type TestServer } from "./server.ts";

const GRANTS = `
[[grant]]
group = "shop-viewers"
role = "viewer"
projects = ["shop"]

[[grant]]
group = "blog-editors"
role = "editor"
projects = ["blog"]
`;

let provider: TestProvider;
let server: TestServer;
let browser: Browser;
/** Of the page: another site than the provider's, as in production. */
let origin: string;

beforeAll(async () => {
  const keys: Record<string, string> = {};
  server = await startServer(async ({ url, data }) => {
    origin = url.replace("127.0.0.1", "localhost");
    provider = await startProvider(`${origin}/api/session/oidc/callback`);
    for (const project of ["shop", "blog"]) {
      keys[project] = await keysCommand(data, "create", "--scope", "write", "--project", project);
    }
    const file = join(data, "people.toml");
    writeFileSync(join(data, "secret"), "a+secret/for tests");
    const oidc = [
      "[oidc]",
      `issuer = "${provider.issuer}"`,
      'client_id = "millrace"',
      'client_secret_file = "secret"',
      `public_url = "${origin}"`,
      'provider_name = "Acme"',
    ];
    writeFileSync(file, `${GRANTS}\n${oidc.join("\n")}\n`);
    return { MILLRACE_PEOPLE_FILE: file };
  });
  // One person in the shop, three in the blog.
  for (const [project, people] of [
    ["shop", 1],
    ["blog", 3],
  ] as const) {
    const events = Array.from({ length: people }, (_, person) => ({
      event_name: "page_view",
      timestamp: new Date().toISOString(),
      session_id: `session ${person}`,
    }));
    const headers = { "content-type": "application/json", authorization: `Bearer ${keys[project]}` };
    const sent = await fetch(`${server.url}/events`, { method: "POST", headers, body: JSON.stringify(events) });
    expect(sent.status, await sent.text()).toBe(200);
  }
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  provider?.close();
});

const form = (page: Page) => page.locator("[data-log-in]");

async function logIn(page: Page, account: string): Promise<void> {
  await form(page).getByRole("link", { name: "Log in with Acme" }).click();
  await page.locator("input[name=login]").fill(account);
  await page.locator("input[name=password]").fill("any");
  await page.keyboard.press("Enter");
}

const project = (page: Page, name: string) => page.getByRole("button", { name: `Project: ${name}` });

async function waitForVisitors(page: Page, expected: string): Promise<void> {
  await waitForFigures(page);
  await eventually(
    "active users",
    () => figure(page, "active_users"),
    (text) => text === expected,
  );
}

test("a person logs in at the provider, and switches between projects in all tabs", async () => {
  const { page, errors, close } = await openPage(browser, `${origin}/?range=6h`);
  await form(page).waitFor();
  expect(await accessibilityViolations(page)).toEqual([]);
  await logIn(page, "ada");
  await waitForConnection(page, "live");
  expect(page.url()).toContain(`${origin}/?range=6h`);
  await project(page, "shop").waitFor();
  await waitForVisitors(page, "1");
  expect(await accessibilityViolations(page)).toEqual([]);
  const cookies = (await page.context().cookies()).filter(({ name }) => name.startsWith("millrace"));
  expect(cookies).toMatchObject([{ name: "millrace_session", httpOnly: true, sameSite: "Strict", path: "/" }]);

  const other = await page.context().newPage();
  await other.goto(origin);
  await waitForVisitors(other, "1");

  await project(page, "shop").click();
  await page.getByRole("option", { name: "blog" }).click();
  await project(page, "blog").waitFor();
  await waitForVisitors(page, "3");
  expect(page.url()).toContain(`${origin}/?range=6h`);
  await project(other, "blog").waitFor();
  await waitForVisitors(other, "3");

  await page.getByRole("button", { name: "Log out" }).click();
  await form(page).waitFor();
  await form(other).waitFor();
  // The provider still knows the person, and the browser the project. Both tabs are let in.
  await form(page).getByRole("link", { name: "Log in with Acme" }).click();
  await waitForVisitors(page, "3");
  await waitForVisitors(other, "3");
  expect(errors).toEqual([]);
  await close();
});

test("who has no role is told so", async () => {
  const { page, errors, close } = await openPage(browser, `${origin}/?range=6h`);
  await logIn(page, "nobody");
  await form(page).getByRole("alert").filter({ hasText: "You have no role here" }).waitFor();
  expect(page.url()).toContain("?range=6h");
  expect(await accessibilityViolations(page)).toEqual([]);
  for (const [code, text] of [
    ["refused", "Acme has refused the log-in"],
    ["toString", "The log-in has failed"],
  ]) {
    await page.goto(`${origin}/?log_in_error=${code}`);
    await form(page).getByRole("alert").filter({ hasText: text }).waitFor();
  }
  expect(errors).toEqual([]);
  await close();
});
