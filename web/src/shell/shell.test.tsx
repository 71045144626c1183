import { act, cleanup, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setClient } from "../api/client.ts";
import { queryClient } from "../live/useCall.ts";
import { installBrowser } from "../test/browser.ts";
import { type FakeLive, panelInfo, replaceFake } from "../test/fakeLive.ts";
import { renderPage } from "../test/renderPage.tsx";

// The frame around the pages. The source of its live data is a fake, and so are calls.
vi.mock("./live.ts", () => import("../test/fakeLive.ts"));
installBrowser();

const items = ["error_rate", "top_pages"].map((value, x) => ({
  title: "",
  content: { case: "panel", value },
  chart: 0,
  placement: { x: x * 6, y: 0, width: 6, height: 4 },
  error: "",
}));
const DASHBOARDS = [
  { name: "default", title: "Overview", description: "All panels", items },
  // The last 7 days.
  { name: "web", title: "Web", description: "", items, range: { timeRange: 4 } },
];
let live: FakeLive;
beforeEach(() => {
  live = replaceFake();
  localStorage.clear();
  delete document.documentElement.dataset.rail;
  queryClient().clear();
  const unary = async (method: { path: string }, request: { name: string }) => {
    if (method.path.endsWith("GetDashboard"))
      return { dashboard: DASHBOARDS.find(({ name }) => name === request.name) };
    if (method.path.endsWith("ListInsights")) return { insights: [] };
    if (method.path.endsWith("ListDashboards")) return { dashboards: DASHBOARDS, broken: [], version: "1" };
    throw new Error(`unexpected call ${method.path}`);
  };
  setClient({ unary } as never);
});
afterEach(() => {
  cleanup();
  setClient(undefined);
});

async function open(address: string) {
  const page = renderPage(address);
  const panels = [panelInfo("error_rate", { title: "Error rate" }), panelInfo("top_pages", { title: "Top pages" })];
  act(() => live.goLive({ panels, version: "1", hasEvents: true }));
  await waitFor(() => expect(document.querySelector("[data-panel=error_rate]")).toBeTruthy());
  return page;
}

test("the view stays in the address from page to page, and what belongs to one page does not", async () => {
  const { user, history, search } = await open("/?range=6h&zone=utc&filter=country_code:ES&panel=error_rate");
  await screen.findByRole("dialog", { name: "Error rate" });
  await user.keyboard("{Escape}");
  await waitFor(() => expect(search()).toBe("?range=6h&zone=utc&filter=country_code:ES"));
  const rail = screen.getByRole("navigation", { name: "Pages" });
  const links = within(rail).getAllByRole("link");
  expect(links.map((link) => link.getAttribute("aria-label")).slice(1)).toEqual([
    "Dashboards",
    "Explore",
    "Live events",
    "People",
    "Data and health",
  ]);
  expect(rail.querySelector("[aria-current=page]")?.getAttribute("data-page")).toBe("dashboards");
  await user.click(within(rail).getByRole("link", { name: "People" }));
  await waitFor(() => expect(history.location.pathname).toBe("/people"));
  expect(search()).toBe("?range=6h&zone=utc&filter=country_code:ES");
  await waitFor(() => expect(rail.querySelector("[aria-current=page]")?.getAttribute("data-page")).toBe("people"));
  await user.keyboard("gl");
  await waitFor(() => expect(history.location.pathname).toBe("/live"));
});

test("the rail is pinned, and remembered", async () => {
  const { user } = await open("/");
  await user.click(screen.getByRole("button", { name: "Show the names of the pages" }));
  expect(document.documentElement.dataset.rail).toBe("pinned");
  expect(localStorage.getItem("millrace.rail")).toBe("pinned");
  await user.click(screen.getByRole("button", { name: "Show only the icons of the pages" }));
  expect(document.documentElement.dataset.rail).toBeUndefined();
});

test("keys of two letters need both, and are off with the others", async () => {
  const { user, history } = await open("/");
  await user.keyboard("gx");
  await user.keyboard("e");
  expect(history.location.pathname).toBe("/");
  localStorage.setItem("millrace.shortcuts", "off");
  await user.keyboard("ge");
  expect(history.location.pathname).toBe("/");
});

test("the palette finds pages, dashboards, panels and commands by a few letters, with the keyboard alone", async () => {
  const { user, search, history } = await open("/?zone=utc");
  const openPalette = async () => {
    await user.keyboard("{Control>}k{/Control}");
    return screen.findByRole("combobox", { name: "Search pages and commands" });
  };
  const field = await openPalette();
  await waitFor(() => expect(document.activeElement).toBe(field));
  await screen.findByRole("option", { name: /Overview/ });
  await user.type(field, "enl top");
  await waitFor(() => expect(document.querySelectorAll("[role=option]")).toHaveLength(1));
  await user.keyboard("{Enter}");
  await waitFor(() => expect(search()).toContain("panel=top_pages"));
  await screen.findByRole("dialog", { name: "Top pages" });
  await user.keyboard("{Escape}");
  await waitFor(() => expect(search()).not.toContain("panel"));

  await user.type(await openPalette(), "vs week");
  await user.keyboard("{Enter}");
  await waitFor(() => expect(search()).toContain("compare=week"));
  await user.type(await openPalette(), "zzzz");
  await screen.findByText("Nothing is called “zzzz”");
  await user.clear(screen.getByRole("combobox"));
  // The wording of a dashboard's name.
  await user.type(screen.getByRole("combobox"), "web");
  await user.keyboard("{Enter}");
  await waitFor(() => expect(history.location.pathname).toBe("/dashboards/web"));
  await waitFor(() => expect(search()).toBe("?range=7d&zone=utc&compare=week"));
});

test("a link has moving or frozen time", async () => {
  const { user } = await open("/?range=6h&zone=utc");
  await user.click(screen.getByRole("button", { name: "Share this view" }));
  const popup = await screen.findByRole("dialog", { name: "Share this view" });
  const link = () => (within(popup).getByLabelText("Link") as HTMLInputElement).value;
  expect(link()).toContain("?range=6h&zone=utc");
  await user.click(within(popup).getByRole("radio", { name: /Frozen time/ }));
  expect(link()).toMatch(/\?from=\d{4}-\d\d-\d\dT\d\d:\d\d&to=\d{4}-\d\d-\d\dT\d\d:\d\d&zone=utc/);
});

test("a wall display rotates the chosen dashboards with their own ranges, and stays while the server is away", async () => {
  document.documentElement.requestFullscreen = async () => {};
  const { user, history, search } = await open("/?range=24h&zone=utc");
  await user.click(screen.getByRole("button", { name: "Wall display" }));
  const dialog = await screen.findByRole("dialog", { name: "Wall display" });
  await user.click(await within(dialog).findByRole("checkbox", { name: /Web/ }));
  await user.selectOptions(within(dialog).getByLabelText("Change every"), "10");
  await user.selectOptions(within(dialog).getByLabelText("Time range"), "own");
  vi.useFakeTimers({ shouldAdvanceTime: true });
  try {
    await user.click(within(dialog).getByRole("button", { name: "Start" }));
    await waitFor(() => expect(history.location.pathname).toBe("/dashboards/default"));
    // The rotation is loaded with the bar.
    await waitFor(() => expect(document.querySelector(".kiosk-bar")).toBeTruthy(), { timeout: 10_000 });
    expect(search()).toBe("?range=1h&zone=utc&wall=1&rotate=default,web&every=10&own=1");
    // Its code is loaded with the first wall.
    await waitFor(() => expect(document.querySelector(".kiosk-bar")).toBeTruthy(), { timeout: 5_000 });
    await act(() => vi.advanceTimersByTimeAsync(10_500));
    await waitFor(() => expect(history.location.pathname).toBe("/dashboards/web"));
    await waitFor(() => expect(search()).toBe("?range=7d&zone=utc&wall=1&rotate=default,web&every=10&own=1"));
    act(() => live.setConnection({ phase: "offline" }));
    await act(() => vi.advanceTimersByTimeAsync(25_000));
    expect(history.location.pathname).toBe("/dashboards/web");
    act(() => live.setConnection({ phase: "live" }));
    await act(() => vi.advanceTimersByTimeAsync(10_500));
    await waitFor(() => expect(history.location.pathname).toBe("/dashboards/default"));
    expect(search()).toContain("?range=1h&");
    // A range that is chosen is that of all.
    await user.keyboard("2");
    await waitFor(() => expect(search()).toBe("?range=6h&zone=utc&wall=1&rotate=default,web&every=10"));
    await act(() => vi.advanceTimersByTimeAsync(10_500));
    await waitFor(() => expect(history.location.pathname).toBe("/dashboards/web"));
    expect(search()).toBe("?range=6h&zone=utc&wall=1&rotate=default,web&every=10");
  } finally {
    vi.useRealTimers();
  }
});

test("the wall begins with the range on the screen, and leaving it gives back the one that the page had", async () => {
  document.documentElement.requestFullscreen = async () => {};
  const { user, history, search } = await open("/dashboards/web?range=24h&zone=utc");
  const openDialog = async () => {
    await user.click(await screen.findByRole("button", { name: "Wall display" }));
    const dialog = within(await screen.findByRole("dialog", { name: "Wall display" }));
    const range = (await dialog.findByLabelText("Time range")) as HTMLSelectElement;
    return { dialog, range, chosen: () => range.selectedOptions[0]?.textContent };
  };
  const onWall = () => waitFor(() => expect(document.querySelector(".kiosk-bar")).toBeTruthy(), { timeout: 10_000 });

  const first = await openDialog();
  expect(first.chosen()).toBe("Last 24 hours, for all");
  await user.click(first.dialog.getByRole("button", { name: "Start" }));
  await onWall();
  expect(search()).toBe("?range=24h&zone=utc&wall=1&rotate=web");
  await user.keyboard("{Escape}");
  await waitFor(() => expect(search()).toBe("?range=24h&zone=utc"));

  // With the range of the dashboard instead: it is on the wall only.
  const second = await openDialog();
  await user.selectOptions(second.range, "own");
  await user.click(second.dialog.getByRole("button", { name: "Start" }));
  await onWall();
  await waitFor(() => expect(search()).toBe("?range=7d&zone=utc&wall=1&rotate=web&own=1"));
  await user.keyboard("{Escape}");
  await waitFor(() => expect(search()).toBe("?range=24h&zone=utc"));

  // The range on the screen is the dashboard's own.
  act(() => history.push("/dashboards/web?range=7d&zone=utc"));
  expect((await openDialog()).chosen()).toBe("Each dashboard's own, or the last hour");
});

test("one dashboard needs one button and no time to change, several have both", async () => {
  const { user } = await open("/?range=24h&zone=utc");
  await user.click(screen.getByRole("button", { name: "Wall display" }));
  const dialog = within(await screen.findByRole("dialog", { name: "Wall display" }));
  await dialog.findByRole("button", { name: "Start" });
  expect(dialog.queryByLabelText("Change every")).toBeNull();
  expect(dialog.queryByRole("button", { name: /only this page/ })).toBeNull();
  await user.click(dialog.getByRole("checkbox", { name: /Web/ }));
  expect(dialog.getByLabelText("Change every")).toBeTruthy();
  expect(dialog.getByRole("button", { name: "Show only this page" })).toBeTruthy();
});
