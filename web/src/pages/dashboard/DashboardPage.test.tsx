import { act, cleanup, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setClient } from "../../api/client.ts";
import type { Dashboard, DashboardItem } from "../../api/messages.ts";
import { GET_DASHBOARD, LIST_DASHBOARDS, LIST_INSIGHTS } from "../../api/methods.ts";
import { Code, StatusError } from "../../api/status.ts";
import { sourceKey } from "../../query/query.ts";
import { installBrowser } from "../../test/browser.ts";
import { FakeClient } from "../../test/fakeClient.ts";
import { type FakeLive, numberFrame, panelInfo, replaceFake } from "../../test/fakeLive.ts";
import { context, dimension, frame, MINUTE, measure, START, timeColumn } from "../../test/frames.ts";
import { renderPage } from "../../test/renderPage.tsx";

// These tests are about the page around live data: its source is a fake.
vi.mock("../../shell/live.ts", () => import("../../test/fakeLive.ts"));
installBrowser();

const HOUR = { range: "1h", zone: "Europe/Madrid" } as const;
const PANELS = [
  panelInfo("active_users", { title: "Active sessions", order: 1, size: "small", events: ["page_view"] }),
  panelInfo("error_rate", { title: "Error rate", order: 2, events: ["error_occurred"] }),
  panelInfo("top_pages", { title: "Top pages", order: 3 }),
];

let live: FakeLive;
let client: FakeClient;
/** The built-in one if undefined: all panels of the catalogue. */
let dashboard: Dashboard | undefined;
const current = (): Dashboard => dashboard ?? board((live.catalog.catalog?.panels ?? PANELS).map(({ name }) => name));

const item = (panel: string, change: Partial<DashboardItem> = {}): DashboardItem =>
  ({
    title: "",
    content: { case: "panel", value: panel },
    chart: 0,
    placement: { x: 0, y: 0, width: 6, height: 4 },
    error: "",
    ...change,
  }) as DashboardItem;

const board = (panels: string[], change: Partial<Dashboard> = {}): Dashboard =>
  ({
    name: "default",
    title: "Overview",
    description: "",
    project: "",
    items: panels.map((name) => item(name)),
    builtIn: true,
    etag: "",
    ...change,
  }) as Dashboard;

beforeEach(() => {
  live = replaceFake();
  dashboard = undefined;
  client = new FakeClient()
    .on(GET_DASHBOARD, () => ({ dashboard: current() }))
    .on(LIST_INSIGHTS, () => ({ insights: [], broken: [], version: "1", readOnly: false }))
    .on(LIST_DASHBOARDS, () => ({ dashboards: [current()], broken: [], version: "1", readOnly: false }));
  setClient(client);
  vi.stubGlobal("fetch", async () => new Response(JSON.stringify({ required: false, caller: null })));
  localStorage.clear();
  delete document.documentElement.dataset.theme;
});
afterEach(() => {
  cleanup();
  setClient(undefined);
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

async function openDashboard(address = "/") {
  const page = renderPage(address);
  act(() => live.goLive({ panels: PANELS, version: "1", hasEvents: true }));
  // Not by role: behind an open dialog the page is hidden from assistive technology.
  await waitFor(() => expect(document.querySelector("[data-panel=error_rate]")).toBeTruthy());
  return page;
}
const push = (panel: string, value: number, view: { range: "1h" | "6h"; zone: string } = HOUR) =>
  act(() => live.push({ panel, ...view }, numberFrame(value, "active sessions")));
/** The card of a panel, or its figure if it has no card. */
const panel = (name: string) =>
  screen.getAllByRole("region", { name }).find((card) => card.dataset.panel !== undefined) as HTMLElement;
const figure = (name: string) => panel(name).querySelector("[data-figure]")?.textContent;
const noDialog = () => waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());

test("the address is completed, keeps foreign parameters and the fragment, and changes with the controls", async () => {
  const { user, search, history } = await openDashboard("/?login=abc#here");
  expect(search()).toBe("?range=1h&zone=Europe/Madrid&login=abc");
  await user.click(screen.getByRole("button", { name: "Time range: Last hour" }));
  await user.click(await screen.findByRole("button", { name: "Last 6 hours" }));
  await waitFor(() => expect(search()).toBe("?range=6h&zone=Europe/Madrid&login=abc"));
  expect(screen.getByRole("button", { name: "Time range: Last 6 hours" })).toBeTruthy();
  expect(history.location.hash).toBe("#here");
  await waitFor(() => expect(live.watched.has("error_rate?range=6h&zone=Europe/Madrid")).toBe(true));
});

test("a link with an unknown time zone and range says what it shows instead", async () => {
  const { search, user } = await openDashboard("/?range=2y&zone=Mars/Olympus");
  const note = document.querySelector("[data-note]");
  await waitFor(() => expect(note?.textContent).toContain("The link requests time zone Mars/Olympus"));
  expect(note?.textContent).toContain("Showing Europe/Madrid");
  expect(note?.textContent).toContain("The link requests range 2y");
  expect(search()).toBe("?range=1h&zone=Europe/Madrid");
  await user.click(screen.getByRole("button", { name: "Dismiss" }));
  expect(document.querySelector("[data-note]")).toBeNull();
});

test("old links with zone=utc show UTC without a note", async () => {
  const { search } = await openDashboard("/?range=24h&zone=utc");
  expect(search()).toBe("?range=24h&zone=utc");
  expect(document.querySelector("[data-note]")).toBeNull();
  expect(live.watched.has("error_rate?range=24h&zone=UTC")).toBe(true);
});

test("a dashboard opens with its own range, unless the address names one", async () => {
  dashboard = board(["error_rate"], { range: { timeRange: 4 } as never });
  for (const [address, search] of [
    ["/?zone=utc", "?range=7d&zone=utc"],
    ["/?range=24h&zone=utc", "?range=24h&zone=utc"],
    // A link of the navigation, which knows no dashboards.
    ["/?range=24h&zone=utc&own=1", "?range=7d&zone=utc"],
    ["/?range=24h&zone=utc&own=1&wall=1", "?range=7d&zone=utc&wall=1&own=1"],
  ] as const) {
    const page = await openDashboard(address);
    await waitFor(() => expect(page.search()).toBe(search));
    cleanup();
  }
});

test("without a range of its own, a dashboard takes that of the link, and a wall takes none that is left over", async () => {
  dashboard = board(["error_rate"]);
  for (const [address, search] of [
    ["/?range=24h&zone=utc&own=1", "?range=24h&zone=utc"],
    ["/?range=24h&zone=utc&own=1&wall=1", "?range=1h&zone=utc&wall=1&own=1"],
  ] as const) {
    const page = await openDashboard(address);
    await waitFor(() => expect(page.search()).toBe(search));
    cleanup();
  }
});

test("figures and the document's title follow the data", async () => {
  await openDashboard();
  push("active_users", 1412);
  expect(figure("Active sessions")).toBe("1,412");
  expect(document.title).toBe("1,412 active sessions · Millrace");
});

test("the document's title stands still while paused, and says if its figure is stale", async () => {
  const { user } = await openDashboard();
  push("active_users", 5);
  await user.keyboard(" ");
  push("active_users", 6);
  expect(document.title).toBe("5 active sessions · Millrace");
  expect(screen.getByRole("button", { name: "Paused, 1 update waiting" })).toBeTruthy();
  await user.keyboard(" ");
  await waitFor(() => expect(document.title).toBe("6 active sessions · Millrace"));
  const rate = numberFrame(6, "Error rate");
  rate.figures = [{ label: "Error rate", unit: "%", value: 12.345, isTime: false }];
  act(() => live.push({ panel: "active_users", ...HOUR }, rate, { status: "stale" }));
  await waitFor(() => expect(document.title).toBe("Stale · 12.3% error rate · Millrace"));
});

test("a new catalogue version is loaded", async () => {
  await openDashboard();
  act(() => live.goLive({ panels: [...PANELS, panelInfo("orders", { title: "Orders" })], version: "2" }));
  await waitFor(() => expect(panel("Orders")).toBeTruthy());
});

test("while paused figures stand still, are counted, and appear on resuming; a new range is shown at once", async () => {
  const { user } = await openDashboard();
  push("active_users", 5);
  await user.keyboard(" ");
  push("active_users", 6);
  push("active_users", 7);
  expect(figure("Active sessions")).toBe("5");
  expect(document.querySelector("[data-connection]")?.textContent).toMatch(/^Paused/);
  const resume = screen.getByRole("button", { name: "Paused, 2 updates waiting" });
  await user.keyboard("2");
  push("active_users", 90, { ...HOUR, range: "6h" });
  await waitFor(() => expect(figure("Active sessions")).toBe("90"));
  await user.keyboard("1");
  await user.click(resume);
  await waitFor(() => expect(figure("Active sessions")).toBe("7"));
});

test("the status names the phase and the delayed panels, with details", async () => {
  const { user } = await openDashboard();
  const status = () => document.querySelector("[data-connection]");
  expect(status()?.getAttribute("data-connection")).toBe("live");
  expect(status()?.getAttribute("data-as-of")).toMatch(/^\d{4}-.*Z$/);
  act(() =>
    live.push({ panel: "error_rate", ...HOUR }, numberFrame(1), { status: "stale", reason: "ClickHouse is slow" }),
  );
  expect(status()?.textContent).toContain("1 panel delayed");
  await user.click(status() as Element);
  const details = await screen.findByRole("dialog", { name: "1 panel delayed" });
  expect(details.textContent).toContain("Error rate delayed");
  expect(details.textContent).toContain("ClickHouse is slow");
  await user.keyboard("{Escape}");
  await noDialog();
  expect(document.activeElement).toBe(status());
});

test("one banner says since when and as of when, and offers a retry; the header keeps the age", async () => {
  const { user } = await openDashboard();
  expect(document.querySelector("[data-banner]")).toBeNull();
  const now = Date.now();
  act(() =>
    live.setConnection({ phase: "stale", since: now - 2_000, lastHeardAt: now - 14_000, retryAt: now + 60_000 }),
  );
  const banner = document.querySelector("[role=status][data-banner]");
  expect(banner?.textContent).toMatch(/has not responded since \d\d:\d\d:\d\d\. The figures are as of \d\d:\d\d:\d\d/);
  expect(banner?.querySelector("[aria-hidden] ~ button, [aria-hidden=true]")).toBeTruthy();
  expect(document.querySelector("[data-connection]")?.textContent).toMatch(/No response for 1[45] s, figures as of/);
  await user.click(within(banner as HTMLElement).getByRole("button", { name: "Retry" }));
  expect(live.retries).toBe(1);
  act(() => live.setConnection({ phase: "live", lastHeardAt: Date.now() }));
  expect(document.querySelector("[data-banner]")).toBeNull();
});

test("figures of an earlier day have their date, on the cards, in the banner, in the status and on a wall", async () => {
  const { user } = await openDashboard();
  const friday = Date.now() - 3 * 24 * 3_600_000;
  const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: HOUR.zone }).format(friday);
  const instant = new RegExp(`s of \\w{3} ${date}[^,]*, \\d\\d:\\d\\d:\\d\\d`);
  act(() => {
    // The state begins when the server was last heard.
    const frame = numberFrame(5, "active sessions", friday);
    live.push({ panel: "active_users", ...HOUR }, frame, { status: "stale", since: friday });
    live.setConnection({ phase: "stale", since: friday, lastHeardAt: friday });
  });
  await waitFor(() => expect(panel("Active sessions").querySelector("[data-as-of]")?.textContent).toMatch(instant));
  expect(document.querySelector("[data-banner]")?.textContent).toMatch(instant);
  expect(document.querySelector("[data-connection]")?.textContent).toMatch(instant);
  await user.keyboard("f");
  await waitFor(() => expect(document.querySelector(".kiosk-bar")?.textContent).toMatch(instant));
  await user.keyboard("{Escape}");
});

test("the age is measured by the server's clock", async () => {
  await openDashboard();
  const hour = 3_600_000;
  act(() => live.setConnection({ phase: "stale", lastHeardAt: Date.now() + hour - 20_000, clockOffsetMs: hour }));
  expect(document.querySelector("[data-connection]")?.textContent).toMatch(/No response for 2[01] s/);
});

test("an enlarged panel is in the address, has arrows and a range, and Back and Escape close it", async () => {
  const { user, search, history } = await openDashboard("/?panel=active_users");
  const dialog = await screen.findByRole("dialog", { name: "Active sessions" });
  await user.click(within(dialog).getByRole("button", { name: "Time range: Last hour" }));
  await user.click(await screen.findByRole("button", { name: "Last 6 hours" }));
  await waitFor(() => expect(search()).toContain("range=6h"));
  await waitFor(() => expect(screen.getAllByRole("dialog")).toHaveLength(1));
  await user.keyboard("{ArrowRight}");
  expect(await screen.findByRole("dialog", { name: "Error rate" })).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Previous panel" }));
  expect(await screen.findByRole("dialog", { name: "Active sessions" })).toBeTruthy();
  act(() => history.back());
  expect(await screen.findByRole("dialog", { name: "Error rate" })).toBeTruthy();
  await user.keyboard("{Escape}");
  await noDialog();
  expect(search()).toBe("?range=6h&zone=Europe/Madrid");
});

test("the arrow keys inside an enlarged chart or table stay there", async () => {
  const { user } = await openDashboard("/?panel=error_rate");
  const series = frame([timeColumn([START, START + MINUTE]), measure("errors", [1, 2])]);
  act(() => live.push({ panel: "error_rate", ...HOUR }, series));
  const dialog = await screen.findByRole("dialog", { name: "Error rate" });
  const chart = await within(dialog).findByRole("img");
  await user.click(chart);
  expect(document.activeElement).toBe(chart);
  await user.keyboard("{ArrowLeft}");
  act(() => dialog.focus());
  await user.keyboard("{ArrowRight}");
  // If the chart's key had moved as well, this would be Error rate again.
  expect(await screen.findByRole("dialog", { name: "Top pages" })).toBeTruthy();
});

test("an unknown panel is said in a dialog", async () => {
  const { user, search } = await openDashboard("/?panel=nope");
  const dialog = await screen.findByRole("dialog", { name: "Panel not found" });
  expect(dialog.textContent).toContain("no panel named “nope”");
  await user.click(within(dialog).getByRole("button", { name: "Close" }));
  await waitFor(() => expect(search()).not.toContain("panel"));
});

test("shortcuts do nothing under a dialog, on repeat, and when switched off", async () => {
  const { user, search, history } = await openDashboard();
  const visited: string[] = [];
  history.subscribe(({ location }) => visited.push(/range=(\w+)/.exec(location.search)?.[1] ?? ""));
  await user.keyboard("?");
  const help = await screen.findByRole("dialog", { name: "Keyboard shortcuts" });
  await user.keyboard("3");
  await user.click(within(help).getByRole("checkbox", { name: /Single-key shortcuts/ }));
  await user.keyboard("{Escape}");
  await noDialog();
  await user.keyboard("3");
  expect(localStorage.getItem("millrace.shortcuts")).toBe("off");
  localStorage.clear();
  act(() => void window.dispatchEvent(new KeyboardEvent("keydown", { key: "3", repeat: true })));
  await user.keyboard("2");
  await waitFor(() => expect(search()).toContain("range=6h"));
  // Navigation is asynchronous: an ignored key that had navigated would have done so by now.
  expect(visited).toEqual(["6h"]);
});

test("the theme is switched, stored, and follows other tabs", async () => {
  const { user } = await openDashboard();
  await user.keyboard("t");
  expect(document.documentElement.dataset.theme).toBe("light");
  expect(localStorage.getItem("millrace.theme")).toBe("light");
  localStorage.setItem("millrace.theme", "dark");
  act(() => void window.dispatchEvent(new StorageEvent("storage", { key: "millrace.theme" })));
  expect(document.documentElement.dataset.theme).toBe("dark");
});

test("kiosk mode hides the header, shows the clock and the state, and Escape and Back leave full screen", async () => {
  const exit = vi.fn(async () => {});
  Object.defineProperty(document, "exitFullscreen", { value: exit, configurable: true });
  Object.defineProperty(document, "fullscreenElement", { value: document.body, configurable: true });
  const { user, search, history } = await openDashboard();
  await user.keyboard("f");
  await waitFor(() => expect(search()).toContain("wall=1"));
  expect(document.documentElement.dataset.wall).toBe("");
  expect(screen.queryByRole("button", { name: /^Time range/ })).toBeNull();
  expect(document.querySelector(".kiosk-frame")?.getAttribute("data-tone")).toBeNull();
  act(() => live.setConnection({ phase: "stale" }));
  expect(document.querySelector(".kiosk-frame")?.getAttribute("data-tone")).toBe("warn");
  act(() => live.setConnection({ phase: "offline" }));
  expect(document.querySelector(".kiosk-frame")?.getAttribute("data-tone")).toBe("warn");
  act(() => live.setConnection({ phase: "live" }));
  const over = { ...numberFrame(2, "Error rate"), threshold: 1 };
  act(() => live.push({ panel: "error_rate", ...HOUR }, over));
  expect(document.querySelector(".kiosk-frame")?.getAttribute("data-tone")).toBe("danger");
  expect(document.querySelector(".kiosk-bar")?.textContent).toContain("Over the threshold: Error rate");
  act(() => history.back());
  await waitFor(() => expect(exit).toHaveBeenCalled());
  expect(document.documentElement.dataset.wall).toBeUndefined();
  await user.keyboard("f");
  await waitFor(() => expect(search()).toContain("wall=1"));
  await user.keyboard("{Escape}");
  await waitFor(() => expect(search()).not.toContain("wall"));
});

test("on a wall the panels of all screenfuls stay subscribed, so that each appears complete", async () => {
  const many = Array.from({ length: 20 }, (_, i) => panelInfo(`panel_${i}`, { order: i, size: "large" }));
  renderPage("/?wall=1");
  act(() => live.goLive({ panels: many, version: "1", hasEvents: true }));
  await screen.findByRole("region", { name: "Panel 0" });
  expect(screen.queryByRole("region", { name: "Panel 19" })).toBeNull();
  expect([...live.watched.values()].map(sourceKey).sort()).toEqual(many.map(({ name }) => name).sort());
});

test("broken panels are folded below the figures, plain words first", async () => {
  const { user } = await openDashboard();
  const broken = [
    {
      file: "orders.sql",
      line: 3,
      message: "Code: 62. DB::Exception: Syntax error: failed at position 12 (SYNTAX_ERROR)",
    },
    { file: "pie.sql", line: 0, message: "chart: pie is not known" },
  ];
  act(() => live.goLive({ panels: PANELS, broken, version: "2" }));
  const chip = await screen.findByText("2 panels cannot be loaded");
  const details = chip.closest("details") as HTMLDetailsElement;
  expect(details.open).toBe(false);
  expect(panel("Top pages").compareDocumentPosition(details) & Node.DOCUMENT_POSITION_FOLLOWING).toBeTruthy();
  await user.click(chip);
  const first = details.querySelector("li");
  expect(first?.firstChild?.textContent).toBe("Syntax error.");
  expect(first?.textContent).toContain("orders.sql:3");
});

test("a server without events shows the snippets; the checklist stays until all panels have data", async () => {
  const { user } = renderPage("/");
  act(() => live.goLive({ panels: PANELS, hasEvents: false }));
  expect(await screen.findByRole("heading", { name: "Send the first event" })).toBeTruthy();
  expect(screen.getByRole("tab", { selected: true }).textContent).toBe("curl");
  await user.click(screen.getByRole("button", { name: "Send a test event" }));
  expect(live.calls.some((call) => call.method === "sendEvent")).toBe(true);
  expect((await screen.findAllByText("Test event accepted")).length).toBeGreaterThan(0);

  act(() => live.goLive({ panels: PANELS, hasEvents: true }));
  push("active_users", 1);
  const list = await screen.findByRole("region", { name: "Seen so far" });
  await waitFor(() => expect(list.textContent).toContain("1 of 2 panels have data"));
  push("error_rate", 0);
  expect(list.textContent).toContain("1 of 2 panels have data");
  push("error_rate", 3);
  await waitFor(() => expect(screen.queryByRole("region", { name: "Seen so far" })).toBeNull());
});

test("a rejected test event says why", async () => {
  const { user } = renderPage("/");
  live.respond = (call) => {
    throw new Error(`the journal is full: ${call.method}`);
  };
  act(() => live.goLive({ panels: PANELS, hasEvents: false }));
  await user.click(await screen.findByRole("button", { name: "Send a test event" }));
  expect((await screen.findAllByText("the journal is full: sendEvent")).length).toBeGreaterThan(0);
});

test("a catalogue that cannot be loaded says why, and has a retry", async () => {
  const { user } = renderPage("/");
  act(() => live.failCatalog("not allowed"));
  expect(await screen.findByText("not allowed")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Retry" }));
  expect(live.retries).toBe(1);
  act(() => live.goLive({ panels: PANELS }));
  await waitFor(() => expect(panel("Error rate")).toBeTruthy());
});

test("an unknown page says so", async () => {
  renderPage("/nothing");
  expect(await screen.findByText("Page not found")).toBeTruthy();
});

test("the time zone control searches all zones", async () => {
  const { user, search } = await openDashboard();
  await user.click(screen.getByRole("button", { name: /^Time zone: Madrid/ }));
  await user.type(await screen.findByPlaceholderText("Search time zones"), "kolk");
  await user.click(await screen.findByRole("option", { name: /Asia\/Kolkata/ }));
  await waitFor(() => expect(search()).toContain("zone=Asia/Kolkata"));
});

test("the list has every range, and the address and the queries follow", async () => {
  const { user, search } = await openDashboard();
  await user.click(screen.getByRole("button", { name: "Time range: Last hour" }));
  const presets = await screen.findByRole("group", { name: "Ranges up to now" });
  expect(within(presets).getAllByRole("button")).toHaveLength(10);
  await user.click(within(presets).getByRole("button", { name: "This month" }));
  await waitFor(() => expect(search()).toBe("?range=this-month&zone=Europe/Madrid"));
  await waitFor(() => expect(live.watched.has("error_rate?range=this-month&zone=Europe/Madrid")).toBe(true));
  expect(screen.getByRole("button", { name: "Time range: This month" }).textContent).toContain("This month");
});

test("links with intervals, comparisons and filters that cannot be shown say so", async () => {
  await openDashboard("/?from=2026-02-31&compare=month&filter=ES");
  const note = document.querySelector("[data-note]")?.textContent;
  expect(note).toContain("the interval from 2026-02-31 to now, which is not a valid one. Showing the last hour.");
  expect(note).toContain("comparison month, which does not exist");
  expect(note).toContain("a filter that cannot be applied: ES");
});

test("the exact span comes from the result, with what it is compared with", async () => {
  const { user, search } = await openDashboard();
  const shown = () => document.querySelector("[data-shown-span]")?.textContent;
  expect(shown()).toBeUndefined();
  await user.click(screen.getByRole("button", { name: "Compare: No comparison" }));
  await user.click(await screen.findByRole("option", { name: "vs a week ago" }));
  await waitFor(() => expect(search()).toBe("?range=1h&zone=Europe/Madrid&compare=week"));
  const week = 7 * 24 * 3_600_000;
  const result = frame([timeColumn([START]), measure("errors", [1])], { context: context({ zone: HOUR.zone }) });
  const comparison = frame([timeColumn([START - week]), measure("errors", [3])], {
    context: context({ zone: HOUR.zone, start: START - week, end: START - week + 3_600_000 }),
  });
  act(() => {
    // The first panel over time says the span.
    for (const { name } of PANELS) live.push({ panel: name, ...HOUR, compare: "week" }, { ...result, comparison });
  });
  await waitFor(() => expect(shown()).toBe("11:00–12:00 compared with Sat 14 Nov, 11:00–12:00"));
  await user.click(screen.getByRole("button", { name: "Error rate: more actions" }));
  await user.click(await screen.findByRole("menuitem", { name: "Show as table" }));
  const table = await within(panel("Error rate")).findByRole("table");
  expect(table.textContent).toContain("errors (compared)");
});

test("a panel that cannot be compared is shown without a comparison, and says so", async () => {
  await openDashboard("/?range=1h&zone=Europe/Madrid&compare=previous");
  const plain = panelInfo("top_pages", { title: "Top pages", order: 3, comparable: false });
  act(() => live.goLive({ panels: [...PANELS.slice(0, 2), plain] }));
  await waitFor(() => expect(live.watched.has("top_pages?range=1h&zone=Europe/Madrid")).toBe(true));
  expect(live.watched.has("error_rate?range=1h&zone=Europe/Madrid&compare=previous")).toBe(true);
  await waitFor(() => expect(panel("Top pages").querySelector("[data-not-compared]")).toBeTruthy());
  expect(panel("Error rate").querySelector("[data-not-compared]")).toBeNull();
});

test("filters are added from the values on the screen, shown as chips, and removed", async () => {
  const { user, search } = await openDashboard();
  const pages = frame([dimension("page_url", ["/pricing", "/", "(other)", ""]), measure("views", [4, 3, 2, 1])]);
  act(() => live.push({ panel: "top_pages", ...HOUR }, pages));
  await user.click(screen.getByRole("button", { name: "Add filter" }));
  const form = await screen.findByRole("dialog", { name: "Add filter" });
  expect((within(form).getByLabelText("Filter by") as HTMLSelectElement).value).toBe("page_url");
  expect([...form.querySelectorAll("datalist option")].map((option) => option.getAttribute("value"))).toEqual([
    "/",
    "/pricing",
  ]);
  await user.click(within(form).getByRole("button", { name: "Add filter" }));
  expect(within(form).getByRole("alert").textContent).toBe("Enter a value");
  await user.selectOptions(within(form).getByLabelText("Filter by"), "country_code");
  await user.type(within(form).getByLabelText("Value"), "ES{Enter}");
  await waitFor(() => expect(search()).toBe("?range=1h&zone=Europe/Madrid&filter=country_code:ES"));
  await waitFor(() =>
    expect(live.watched.has("top_pages?range=1h&zone=Europe/Madrid&filter=country_code:ES")).toBe(true),
  );
  expect(document.querySelector("[data-filter]")?.textContent).toContain("country: Spain");
  await user.click(screen.getByRole("button", { name: "Remove the filter country: Spain" }));
  await waitFor(() => expect(search()).toBe("?range=1h&zone=Europe/Madrid"));
});

test("a click on a value of a ranking filters by it; the value that stands for many has no button", async () => {
  const ranking = panelInfo("top_pages", { title: "Top pages", order: 3, chart: "horizontal-bar" });
  const { user, search } = await openDashboard();
  act(() => live.goLive({ panels: [...PANELS.slice(0, 2), ranking] }));
  const pages = frame([dimension("page_url", ["/pricing", "(other)"]), measure("views", [4, 9])]);
  act(() => live.push({ panel: "top_pages", ...HOUR }, pages));
  const rest = panel("Top pages").querySelector("[data-rest]");
  expect(rest?.querySelector("button")).toBeNull();
  expect(rest?.getAttribute("title")).toContain("beyond the 5,000 most frequent");
  await user.click(await screen.findByRole("button", { name: "/pricing: filter by it" }));
  await waitFor(() => expect(search()).toContain("filter=page_url:/pricing"));
});

test("filters are not sent to panels that have none, which say so, nor if the server does not know the dimension", async () => {
  await openDashboard("/?filter=country_code:ES&filter=planet:Mars");
  const plain = panelInfo("top_pages", { title: "Top pages", order: 3, filterable: false, comparable: false });
  act(() => live.goLive({ panels: [...PANELS.slice(0, 2), plain] }));
  await waitFor(() => expect(live.watched.has("top_pages?range=1h&zone=Europe/Madrid")).toBe(true));
  expect(live.watched.has("error_rate?range=1h&zone=Europe/Madrid&filter=country_code:ES")).toBe(true);
  await waitFor(() => expect(panel("Top pages").querySelector("[data-not-filtered]")).toBeTruthy());
  expect(panel("Error rate").querySelector("[data-not-filtered]")).toBeNull();
  expect(document.querySelector("[data-filter=unknown]")?.textContent).toContain("has no dimension planet");
});

test("the figures of a range that has ended do not age", async () => {
  await openDashboard("/?range=yesterday");
  const yesterday = { panel: "error_rate", range: "yesterday", zone: HOUR.zone } as const;
  act(() => live.push(yesterday, numberFrame(4), { status: "stale", reason: "the server cannot be reached" }));
  await waitFor(() => expect(figure("Error rate")).toBe("4"));
  expect(panel("Error rate").querySelector("[data-as-of]")).toBeNull();
  expect(panel("Error rate").querySelector("[data-dimmed]")).toBeNull();
});

test("a key figure makes its chart the main one, which the address keeps; once more brings back the own one", async () => {
  const { user, search } = await openDashboard();
  const main = () => document.querySelector<HTMLElement>("[data-main] [data-panel]")?.dataset.panel;
  expect(main()).toBe("error_rate");
  const figures = [...document.querySelectorAll("[data-key-figure]")];
  expect(figures.length).toBeGreaterThan(1);
  await user.click(screen.getByRole("button", { name: "Top pages", pressed: false }));
  await waitFor(() => expect(main()).toBe("top_pages"));
  expect(search()).toContain("main=panel:top_pages");
  await user.click(screen.getByRole("button", { name: "Top pages", pressed: true }));
  await waitFor(() => expect(main()).toBe("error_rate"));
});

test("a dashboard that does not exist says so, and leads to the others", async () => {
  client.on(GET_DASHBOARD, () => {
    throw new StatusError("no such dashboard", Code.NotFound);
  });
  renderPage("/dashboards/gone");
  act(() => live.goLive({ panels: PANELS }));
  expect(await screen.findByText("There is no dashboard named “gone”")).toBeTruthy();
  expect(screen.getByRole("link", { name: "All dashboards" }).getAttribute("href")).toContain("/dashboards");
});

test.each(["after", "before"])(
  "a dashboard whose file the server has read meanwhile is shown with its range: the first version is %s the response",
  async (order) => {
    const found = board(["error_rate"], { range: { timeRange: 4 } as never });
    let respond = () => {};
    client.on(GET_DASHBOARD, async () => {
      await new Promise<void>((done) => {
        respond = done;
      });
      throw new StatusError("no such dashboard", Code.NotFound);
    });
    const page = renderPage("/dashboards/shop?zone=utc");
    act(() => live.goLive({ panels: PANELS }));
    await waitFor(() => expect(live.calls).toContainEqual({ method: "board", name: "shop" }));
    const announce = () => act(() => live.setConnection({ insightsVersion: "1" }));
    if (order === "before") announce();
    client.on(GET_DASHBOARD, () => ({ dashboard: found }));
    respond();
    if (order === "after") {
      await screen.findByText("There is no dashboard named “shop”");
      announce();
    }
    await waitFor(() => expect(page.search()).toBe("?range=7d&zone=utc"));
  },
);

test("a dashboard that does not exist is requested once for each version", async () => {
  client.on(GET_DASHBOARD, () => {
    throw new StatusError("no such dashboard", Code.NotFound);
  });
  renderPage("/dashboards/gone");
  const requests = () => live.calls.filter(({ method }) => method === "board").length;
  act(() => live.goLive({ panels: PANELS }));
  await screen.findByText("There is no dashboard named “gone”");
  const before = requests();
  for (const [index, insightsVersion] of ["1", "1", "2", "2"].entries()) {
    act(() => live.setConnection({ insightsVersion, lastHeardAt: index }));
    // The response of a request is there.
    await act(async () => {});
  }
  expect(requests() - before).toBe(2);
});

test("if the built-in dashboard cannot be loaded, all panels are shown", async () => {
  client.on(GET_DASHBOARD, () => {
    throw new StatusError("the folder cannot be read", Code.FailedPrecondition);
  });
  await openDashboard();
  expect(document.querySelector("[data-board-note]")?.textContent).toContain("the folder cannot be read");
});

test("a dashboard that somebody else has saved is loaded again; an item that does not exist says so in its place", async () => {
  await openDashboard();
  dashboard = board(["active_users"], { title: "Shop", etag: "v2" });
  dashboard.items.push(item("gone", { error: "there is no panel gone" }));
  act(() => live.setConnection({ insightsVersion: "1" }));
  act(() => live.setConnection({ insightsVersion: "2" }));
  await waitFor(() =>
    expect(document.querySelector("[data-missing]")?.textContent).toContain("there is no panel gone"),
  );
  expect(screen.getByRole("heading", { level: 1 }).textContent).toBe("Shop");
});

test("parameters of a panel are in its query and in the address", async () => {
  const limit = { name: "limit", type: "UInt16", defaultValue: "10", description: "maximum number of pages" };
  const ranking = panelInfo("top_pages", { title: "Top pages", order: 3, chart: "table", parameters: [limit] });
  const { user, search } = await openDashboard();
  act(() => live.goLive({ panels: [...PANELS.slice(0, 2), ranking] }));
  await user.click(await screen.findByRole("button", { name: "Top pages: more actions" }));
  await user.click(await screen.findByRole("menuitem", { name: "Parameters…" }));
  const dialog = await screen.findByRole("dialog", { name: "Top pages: parameters" });
  await user.type(within(dialog).getByLabelText("limit"), "50");
  await user.click(within(dialog).getByRole("button", { name: "Apply" }));
  await waitFor(() => expect(search()).toContain("set=top_pages.limit:50"));
  await waitFor(() => expect(live.watched.has("top_pages?range=1h&zone=Europe/Madrid&set=limit:50")).toBe(true));
  expect(document.querySelector("[data-set]")?.textContent).toBe("limit 50");
});
