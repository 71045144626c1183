import { act, cleanup, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setClient } from "../../api/client.ts";
import type { Dashboard, EventName, ListDashboardsResponse } from "../../api/messages.ts";
import {
  DELETE_DASHBOARD,
  GET_DASHBOARD,
  LIST_DASHBOARDS,
  LIST_EVENT_NAMES,
  LIST_INSIGHTS,
  SAVE_DASHBOARD,
} from "../../api/methods.ts";
import { Code, StatusError } from "../../api/status.ts";
import { queryClient } from "../../live/useCall.ts";
import { installBrowser } from "../../test/browser.ts";
import { FakeClient } from "../../test/fakeClient.ts";
import { type FakeLive, replaceFake } from "../../test/fakeLive.ts";
import { renderPage } from "../../test/renderPage.tsx";

vi.mock("../../shell/live.ts", () => import("../../test/fakeLive.ts"));
installBrowser();

const dashboard = (name: string, change: Partial<Dashboard> = {}): Dashboard =>
  ({ name, title: name, description: "", project: "", items: [], builtIn: false, etag: "v1", ...change }) as Dashboard;

let live: FakeLive;
let client: FakeClient;
let list: Partial<ListDashboardsResponse>;
let session: object;

beforeEach(() => {
  live = replaceFake();
  localStorage.clear();
  queryClient().clear();
  session = { required: false, caller: null };
  list = {
    dashboards: [
      dashboard("shop", { title: "Shop", description: "Orders", range: { timeRange: 7 } as never }),
      dashboard("default", { title: "Overview", builtIn: true, etag: "" }),
      dashboard("team", { title: "Team", project: "web" }),
    ],
    broken: [{ file: "dashboards/bad.yaml", line: 3, message: "panell is not a field", etag: "" } as never],
    readOnly: false,
  };
  client = new FakeClient()
    .on(LIST_DASHBOARDS, () => list)
    .on(LIST_INSIGHTS, () => ({ insights: [] }))
    .on(GET_DASHBOARD, ({ name }) => ({ dashboard: list.dashboards?.find((each) => each.name === name) }))
    .on(LIST_EVENT_NAMES, () => ({ names: [{ name: "page_view" } as EventName] }))
    .on(SAVE_DASHBOARD, ({ dashboard }) => ({ dashboard: dashboard as Dashboard }))
    .on(DELETE_DASHBOARD, () => ({}));
  setClient(client);
  vi.stubGlobal("fetch", async () => new Response(JSON.stringify(session)));
});
afterEach(() => {
  cleanup();
  setClient(undefined);
  vi.unstubAllGlobals();
});

async function open(address = "/dashboards") {
  const page = renderPage(address);
  act(() => live.goLive({ panels: [] }));
  await screen.findByRole("link", { name: "Shop" });
  return page;
}
const rows = () => [...document.querySelectorAll("[data-dashboard]")].map((row) => row.getAttribute("data-dashboard"));
const row = (name: string) => document.querySelector(`[data-dashboard=${name}]`) as HTMLElement;

test("dashboards with their origin, the built-in one first, and files that cannot be read", async () => {
  await open();
  expect(rows()).toEqual(["default", "shop", "team"]);
  expect(rows().map((name) => row(name ?? "").querySelector("[data-origin]")?.textContent)).toEqual([
    "Built in",
    "File",
    "Project web",
  ]);
  expect(screen.getByRole("link", { name: "Overview" }).getAttribute("href")).toMatch(/^\/\?/);
  // A dashboard opens with its own range.
  expect(screen.getByRole("link", { name: "Shop" }).getAttribute("href")).toMatch(
    /^\/dashboards\/shop\?range=1h&.*own=1$/,
  );
  const broken = screen.getByRole("region", { name: "1 file cannot be read" });
  expect(broken.textContent).toContain("dashboards/bad.yaml:3");
});

test("the search is in the address, and stars stay in the browser", async () => {
  const { user, search } = await open();
  await user.type(screen.getByRole("searchbox"), "orders");
  await waitFor(() => expect(rows()).toEqual(["shop"]));
  expect(search()).toContain("q=orders");
  await user.clear(screen.getByRole("searchbox"));
  await user.click(screen.getByRole("button", { name: "Star Team" }));
  expect(rows()).toEqual(["team", "default", "shop"]);
  expect(localStorage.getItem("millrace.stars")).toBe("team");
  await user.type(screen.getByRole("searchbox"), "xyz");
  expect(await screen.findByText("No dashboard matches “xyz”")).toBeTruthy();
});

test("who may not save has no way to, and is told why", async () => {
  session = { required: true, caller: { project: "web", scope: "read", role: "viewer", can_log_out: true } };
  await open();
  await waitFor(() => expect(document.querySelector("[data-not-allowed]")?.textContent).toContain("role editor"));
  expect(screen.queryByRole("button", { name: "New dashboard" })).toBeNull();
  expect(screen.queryByRole("button", { name: "Shop: actions" })).toBeNull();
});

test("a template says which events are missing; what is made is opened in the editor", async () => {
  const { user, history, search } = await open();
  await user.click(await screen.findByRole("button", { name: "New dashboard" }));
  const dialog = await screen.findByRole("dialog", { name: "New dashboard" });
  await waitFor(() => expect(dialog.querySelector("[data-template=web]")?.textContent).toContain("items"));
  expect(dialog.querySelector("[data-template=reliability]")?.textContent).toContain(
    "Missing: errors (error_occurred or error)",
  );
  await user.click(within(dialog).getByRole("button", { name: "Create" }));
  await waitFor(() => expect(history.location.pathname).toBe("/dashboards/web"));
  expect(search()).toContain("edit=1");
  expect(client.requests(SAVE_DASHBOARD)[0]?.dashboard).toMatchObject({ name: "web", title: "Web", etag: "" });
});

test("deleting asks, names the version, and says if there is another one", async () => {
  const { user } = await open();
  await user.click(await screen.findByRole("button", { name: "Shop: actions" }));
  await user.click(await screen.findByRole("menuitem", { name: "Delete" }));
  const dialog = await screen.findByRole("dialog", { name: "Delete Shop?" });
  client.on(DELETE_DASHBOARD, () => {
    throw new StatusError("changed", Code.Aborted);
  });
  await user.click(within(dialog).getByRole("button", { name: "Delete" }));
  expect((await within(dialog).findByRole("alert")).textContent).toContain("has been saved since");
  client.on(DELETE_DASHBOARD, () => ({}));
  await user.click(within(dialog).getByRole("button", { name: "Delete" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(client.requests(DELETE_DASHBOARD).at(-1)).toEqual({ name: "shop", etag: "v1" });
});

test("a list that cannot be loaded says why, and has a retry", async () => {
  client.on(LIST_DASHBOARDS, () => {
    throw new StatusError("not for you", Code.PermissionDenied);
  });
  const { user } = renderPage("/dashboards");
  expect(await screen.findByText("not for you")).toBeTruthy();
  client.on(LIST_DASHBOARDS, () => list);
  await user.click(screen.getByRole("button", { name: "Retry" }));
  expect(await screen.findByRole("link", { name: "Shop" })).toBeTruthy();
});
