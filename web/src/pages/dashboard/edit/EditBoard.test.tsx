import { act, cleanup, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setClient } from "../../../api/client.ts";
import type { Dashboard } from "../../../api/messages.ts";
import { GET_DASHBOARD, LIST_DASHBOARDS, LIST_INSIGHTS, SAVE_DASHBOARD } from "../../../api/methods.ts";
import { Code, StatusError } from "../../../api/status.ts";
import { installBrowser } from "../../../test/browser.ts";
import { FakeClient } from "../../../test/fakeClient.ts";
import { type FakeLive, panelInfo, replaceFake } from "../../../test/fakeLive.ts";
import { renderPage } from "../../../test/renderPage.tsx";
// Loaded on demand: not within the time of the first test.
import "../DashboardPage.tsx";
import "./EditBoard.tsx";
import "./SaveDialog.tsx";

vi.mock("../../../shell/live.ts", () => import("../../../test/fakeLive.ts"));
installBrowser();
Object.assign(window, { matchMedia: window.matchMedia ?? (() => ({ matches: true })) });

const PANELS = [
  panelInfo("active_users", { title: "Active sessions", order: 1 }),
  panelInfo("error_rate", { title: "Error rate", order: 2 }),
];
const place = (x: number, y: number) => ({ x, y, width: 6, height: 4 });
const shop = (change: Partial<Dashboard> = {}): Dashboard =>
  ({
    name: "shop",
    title: "Shop",
    description: "",
    project: "",
    builtIn: false,
    etag: "v1",
    items: PANELS.map(({ name }, index) => ({
      title: "",
      content: { case: "panel", value: name },
      chart: 0,
      layout: place(6 * index, 0),
      placement: place(6 * index, 0),
      error: "",
    })),
    ...change,
  }) as Dashboard;

let live: FakeLive;
let client: FakeClient;
let stored: Dashboard;

beforeEach(() => {
  live = replaceFake();
  localStorage.clear();
  stored = shop();
  client = new FakeClient()
    .on(GET_DASHBOARD, () => ({ dashboard: stored }))
    .on(LIST_INSIGHTS, () => ({ insights: [], broken: [], version: "1", readOnly: false }))
    .on(LIST_DASHBOARDS, () => ({ dashboards: [stored], broken: [], version: "1", readOnly: false }))
    .on(SAVE_DASHBOARD, ({ dashboard }) => ({ dashboard: { ...shop(), ...dashboard, etag: "v2" } as Dashboard }));
  setClient(client);
  vi.stubGlobal("fetch", async () => new Response(JSON.stringify({ required: false, caller: null })));
});
afterEach(() => {
  cleanup();
  setClient(undefined);
  vi.unstubAllGlobals();
});

async function openEditor() {
  const page = renderPage("/dashboards/shop?edit=1");
  act(() => live.goLive({ panels: PANELS }));
  const handle = await screen.findByRole("button", { name: "Move Error rate" });
  return { ...page, handle };
}
const spoken = () => document.querySelector("[data-spoken]")?.textContent;
const unsaved = () => document.querySelector("[data-unsaved]")?.getAttribute("data-unsaved");
const save = () => screen.getByRole("button", { name: "Save" });

test("the keyboard moves and resizes, says so, and every step is undone", async () => {
  const { user, handle } = await openEditor();
  handle.focus();
  await user.keyboard("{ArrowLeft}");
  expect(spoken()).toBe("Error rate: column 6, row 1");
  await user.keyboard("{Shift>}{ArrowUp}{/Shift}");
  expect(spoken()).toBe("Error rate: 6 columns wide, 3 rows high");
  expect(unsaved()).toBe("2");
  await user.click(screen.getByRole("button", { name: "Undo" }));
  await user.click(screen.getByRole("button", { name: "Undo" }));
  expect(unsaved()).toBe("0");
  expect((save() as HTMLButtonElement).disabled).toBe(true);
  await user.click(screen.getByRole("button", { name: "Redo" }));
  expect(unsaved()).not.toBe("0");
});

test("what is saved is said first, and is the file with the version that was edited", async () => {
  const { user, search } = await openEditor();
  await user.click(screen.getByRole("button", { name: "Error rate: actions" }));
  await user.click(await screen.findByRole("menuitem", { name: "Remove from the dashboard" }));
  await user.click(save());
  const dialog = await screen.findByRole("dialog", { name: "Save the dashboard" });
  expect(within(dialog).getByText("Error rate is removed")).toBeTruthy();
  await user.click(within(dialog).getByRole("button", { name: "Save" }));
  await waitFor(() => expect(search()).not.toContain("edit=1"));
  const [request] = client.requests(SAVE_DASHBOARD);
  expect(request?.dashboard).toMatchObject({ name: "shop", etag: "v1", items: [{ layout: place(0, 0) }] });
  expect(localStorage.length).toBe(0);
});

test("a conflict shows both changes; the own version becomes a copy", async () => {
  const { user, history, handle } = await openEditor();
  handle.focus();
  await user.keyboard("{Shift>}{ArrowDown}{/Shift}");
  stored = shop({ title: "Shop, Madrid", etag: "v9" });
  client.on(SAVE_DASHBOARD, ({ dashboard }) => {
    if (dashboard?.name === "shop") throw new StatusError("changed", Code.Aborted);
    return { dashboard: shop({ name: "shop-2" }) };
  });
  await user.click(save());
  await user.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Save" }));
  const dialog = await screen.findByRole("dialog", { name: "The dashboard has been saved meanwhile" });
  expect(within(dialog).getByText("Title: “Shop” becomes “Shop, Madrid”")).toBeTruthy();
  expect(within(dialog).getByText("Error rate has another size")).toBeTruthy();
  await user.click(within(dialog).getByRole("button", { name: "Save mine as a copy" }));
  await waitFor(() => expect(history.location.pathname).toBe("/dashboards/shop-2"));
  expect(client.requests(SAVE_DASHBOARD).at(-1)?.dashboard).toMatchObject({ name: "shop-2", etag: "" });
});

test("a draft survives, and can be discarded", async () => {
  const first = await openEditor();
  first.handle.focus();
  await first.user.keyboard("{Shift>}{ArrowDown}{/Shift}");
  first.unmount();
  const { user } = await openEditor();
  await waitFor(() => expect(document.querySelector("[data-draft]")).toBeTruthy());
  expect(unsaved()).toBe("1");
  await user.click(screen.getByRole("button", { name: "Discard changes" }));
  expect(unsaved()).toBe("0");
});

test("leaving with unsaved changes asks", async () => {
  const { user, router, history, handle } = await openEditor();
  handle.focus();
  await user.keyboard("{Shift>}{ArrowDown}{/Shift}");
  act(() => void router.navigate({ to: "/dashboards" }));
  const dialog = await screen.findByRole("dialog", { name: "Leave without saving?" });
  await user.click(within(dialog).getByRole("button", { name: "Keep editing" }));
  expect(history.location.pathname).toBe("/dashboards/shop");
});
