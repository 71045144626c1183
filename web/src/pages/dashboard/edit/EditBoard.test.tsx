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
import "./ChartDialog.tsx";
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
/** What saving changes: the title of each item, and its lines. */
const reviewed = (dialog: HTMLElement) =>
  [...dialog.querySelectorAll("strong, li li")].map((line) =>
    line.localName === "strong"
      ? line.textContent?.trim()
      : [...line.children].map((part) => part.textContent).join(": "),
  );
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
  expect(reviewed(dialog)).toEqual([
    "Error rate removed",
    "Size: was 6 columns × 4 rows",
    "Position: was column 7, row 1",
  ]);
  await user.click(within(dialog).getByRole("button", { name: "Save" }));
  await waitFor(() => expect(search()).not.toContain("edit=1"));
  const [request] = client.requests(SAVE_DASHBOARD);
  expect(request?.dashboard).toMatchObject({ name: "shop", etag: "v1", items: [{ layout: place(0, 0) }] });
  expect(localStorage.length).toBe(0);
});

test("the chart of a question is changed, that of a panel is its own", async () => {
  const trend = { case: "trend", value: { series: [{ eventName: "purchase" }] } };
  const insight = { name: "revenue", title: "Revenue", description: "", chart: 2, query: trend };
  client.on(LIST_INSIGHTS, () => ({ insights: [insight] as never }));
  const item = (content: object, x: number) => ({ title: "", content, chart: 0, placement: place(x, 0), error: "" });
  stored = shop({ items: [item({ case: "insight", value: "revenue" }, 0), ...shop().items.slice(1)] as never });
  const { user } = await openEditor();
  await user.click(await screen.findByRole("button", { name: "Error rate: actions" }));
  await screen.findByRole("menuitem", { name: "Rename" });
  expect(screen.queryByRole("menuitem", { name: "Chart" })).toBeNull();
  await user.keyboard("{Escape}");
  await user.click(screen.getByRole("button", { name: "Revenue: actions" }));
  await user.click(await screen.findByRole("menuitem", { name: "Chart" }));
  const dialog = await screen.findByRole("dialog", { name: "Chart of Revenue" });
  const charts = await within(dialog).findAllByRole<HTMLInputElement>("radio");
  expect(charts.map((radio) => radio.closest("label")?.textContent)).toEqual([
    "Areas, as the insight",
    "Lines",
    "Areas",
    "Stacked",
    "Bars",
    "Totals",
    "Number",
    "Table",
  ]);
  expect(charts[0]?.checked).toBe(true);
  await user.click(within(dialog).getByRole("radio", { name: "Bars" }));
  await user.click(within(dialog).getByRole("button", { name: "Apply" }));
  await waitFor(() => expect(unsaved()).toBe("1"));
  await user.click(save());
  const review = await screen.findByRole("dialog", { name: "Save the dashboard" });
  expect(reviewed(review)).toEqual(["Revenue", "Chart: was Areas, as the insight → becomes Bars"]);
  await user.click(within(review).getByRole("button", { name: "Save" }));
  await waitFor(() => expect(client.requests(SAVE_DASHBOARD)).toHaveLength(1));
  expect(client.requests(SAVE_DASHBOARD)[0]?.dashboard?.items?.map(({ chart }) => chart)).toEqual([4, 0]);
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
  expect(reviewed(dialog)).toEqual([
    "Dashboard",
    "Title: was Shop → becomes Shop, Madrid",
    "Error rate",
    "Size: was 6 columns × 4 rows → becomes 6 columns × 5 rows",
  ]);
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
