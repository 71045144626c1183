import { act, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setClient } from "../../api/client.ts";
import { decode, encode } from "../../api/codec.ts";
import type { GrpcWebClient, Method } from "../../api/grpcWeb.ts";
import { TimeRange } from "../../api/messages.ts";
import { Code, ConnectionLost, StatusError } from "../../api/status.ts";
import { toTimestamp } from "../../api/time.ts";
import { queryClient } from "../../live/useCall.ts";
import { installBrowser } from "../../test/browser.ts";
import { type FakeLive, replaceFake } from "../../test/fakeLive.ts";
import { renderPage } from "../../test/renderPage.tsx";
import { rememberTitle } from "./panelTitle.ts";
import { seriesOf, trendOf as trendQuestion } from "./question.ts";

vi.mock("../../shell/live.ts", () => import("../../test/fakeLive.ts"));
installBrowser();

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 10, 21, 10);

interface Made {
  name: string;
  // biome-ignore lint/suspicious/noExplicitAny: any message
  request: any;
  signal: AbortSignal;
}

/** By the name of the method: the response, or an error. */
type Handlers = Record<string, (made: Made) => object | Error | Promise<object>>;
let handlers: Handlers = {};
let made: Made[] = [];
const callsOf = (name: string) => made.filter((each) => each.name === name && !each.signal.aborted);

const context = {
  rangeStart: toTimestamp(NOW - 2 * HOUR),
  rangeEnd: toTimestamp(NOW),
  computedAt: toTimestamp(NOW),
  timeZone: "Europe/Madrid",
  bucketSeconds: 3600,
  source: 1,
};
const cost = { rowsRead: 40_321n, bytesRead: 1000n, elapsed: { seconds: 0n, nanos: 184_000_000 } };
const trend = (...totals: [breakdown: string[], total: number][]) => ({
  buckets: [toTimestamp(NOW - 2 * HOUR), toTimestamp(NOW - HOUR)],
  lines: totals.map(([breakdown, total]) => ({
    breakdown,
    values: [{ value: total - 1 }, { value: 1 }],
    total: { value: total },
  })),
  context,
  cost,
});

const client: GrpcWebClient = {
  unary: async <Request, Response>(
    { path, response }: Method<Request, Response>,
    request: unknown,
    { signal }: { signal: AbortSignal },
  ) => {
    const name = path.split("/").at(-1) ?? "";
    const one = { name, request, signal };
    made.push(one);
    const result = await handlers[name]?.(one);
    if (result === undefined) throw new StatusError(`unexpected call ${name}`, Code.Unimplemented);
    if (result instanceof Error) throw result;
    return decode(response, encode(response, result as never));
  },
  stream: () => {
    throw new Error("no stream is expected");
  },
};

let live: FakeLive;
beforeEach(() => {
  live = replaceFake();
  made = [];
  handlers = {
    ListEventNames: () => ({
      names: ["page_view", "login", "signup_started", "signup_completed"].map((name, index) => ({
        name,
        events: BigInt(1000 - index),
        lastSeen: toTimestamp(Date.now()),
      })),
      total: 4n,
    }),
    ListProperties: () => ({
      properties: [
        { key: "plan", field: "properties.plan", ofEvent: true, events: 9n, types: [{ type: 1 }] },
        { key: "country_code", field: "country_code", isOwn: true },
      ],
    }),
    ListValues: () => ({ values: [] }),
    ListInsights: () => ({ insights: [] }),
    QueryTrend: () => trend([[], 1204]),
  };
  setClient(client);
  vi.stubGlobal("fetch", () => Promise.resolve(new Response('{"required":false,"caller":null}')));
});
afterEach(() => {
  queryClient().clear();
  vi.unstubAllGlobals();
});

async function open(address: string) {
  const page = renderPage(address);
  act(() => live.goLive({ panels: [], version: "1", hasEvents: true }));
  await screen.findByRole("heading", { name: "Explore", level: 1 });
  return page;
}
const result = () => screen.findByRole("region", { name: "Result" });

test("a starter made of the project's events becomes a question in the address, with its result and cost", async () => {
  const { user, search } = await open("/explore?range=24h");
  expect(await screen.findByText("How many go from signup_started to signup_completed?")).toBeTruthy();
  await user.click(screen.getByText("How often does page_view happen?"));
  await waitFor(() => expect(search()).toBe("?range=7d&zone=Europe/Madrid&s=page_view&bucket=day&chart=bar"));
  const shown = await result();
  await within(shown).findByText("184 ms · 40,321 rows read");
  expect(within(shown).getByText("from the rollup")).toBeTruthy();
  expect(within(shown).getByRole("button", { name: /^1,204: People behind page_view$/ })).toBeTruthy();
  expect(callsOf("QueryTrend")[0]?.request.series).toEqual([{ eventName: "page_view" }]);
});

test("a rate is one click, two events and percentages, and a formula in the address", async () => {
  handlers.QueryTrend = ({ request }) => trend([request.breakdown ?? [], request.formula ? 0.25 : 1204]);
  const { user, search } = await open("/explore?range=24h&s=login");
  await user.click(await screen.findByRole("button", { name: "Rate: A of B" }));
  await waitFor(() => expect(search()).toContain("s=login&s=*&formula=A+/+B"));
  expect(await screen.findByRole("heading", { name: "login, share of all events" })).toBeTruthy();
  const shown = await result();
  expect(
    await within(shown).findByRole("button", { name: "25.0%: People behind login, share of all events" }),
  ).toBeTruthy();
  await user.click(screen.getByRole("button", { name: /^Of all: / }));
  await user.click(await screen.findByRole("option", { name: /^page_view/ }));
  expect(await screen.findByRole("heading", { name: "login, share of page_view" })).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "As formula" }));
  expect(screen.getByRole<HTMLInputElement>("textbox", { name: "Formula" }).value).toBe("A / B");
});

test("an event that says that something failed makes the error rate a starter", async () => {
  handlers.ListEventNames = () => ({
    names: ["page_view", "payment_failed"].map((name) => ({ name, events: 9n })),
    total: 2n,
  });
  const { user, search } = await open("/explore?range=24h");
  await user.click(await screen.findByText("Error rate"));
  await waitFor(() => expect(search()).toContain("s=payment_failed&s=*&formula=A+/+B"));
});

test("what is not complete is said in its place and not sent", async () => {
  const { user } = await open("/explore?range=24h&s=page_view&formula=A+%2B");
  expect(await screen.findAllByText("Something is missing at the end")).toHaveLength(2);
  expect(callsOf("QueryTrend")).toHaveLength(0);
  await user.click(screen.getByRole("button", { name: "Remove the formula" }));
  await screen.findByText("184 ms · 40,321 rows read");
});

test("an error of the server is shown at its part of the question", async () => {
  handlers.QueryTrend = () => new StatusError("formula: at character 1: no such series", Code.InvalidArgument);
  await open("/explore?range=24h&s=page_view&formula=A");
  const builder = await screen.findByRole("complementary", { name: "Question" });
  await within(builder).findByText("at character 1: no such series");
});

test("a change of a funnel that can be chance says so, and each has the numbers it is a change of", async () => {
  const result = (value: string, entered: number, converted: number) => {
    const pct = (100 * converted) / entered;
    const steps = [{ count: BigInt(entered) }, { count: BigInt(converted), fromFirstPct: pct, fromPreviousPct: pct }];
    return { value, steps };
  };
  handlers.QueryFunnel = ({ request }) => ({
    ...(request.range.timeRange
      ? { overall: result("", 2_000, 1_000), breakdown: [result("web", 1_940, 980), result("ios", 60, 20)] }
      : { overall: result("", 2_000, 1_400), breakdown: [result("web", 1_930, 1_370), result("ios", 70, 30)] }),
    context,
    cost,
  });
  await open("/explore?range=24h&q=funnel&s=signup_started&s=signup_completed&by=plan&compare=previous");
  const row = async (name: string) => (await screen.findByRole("rowheader", { name })).closest("tr") as HTMLElement;
  const web = await row("web");
  await within(web).findByText("n 1,940 / 1,930");
  expect(within(web).getByText("−20.5 pts").className).toContain("text-danger");
  const ios = await row("ios");
  expect(within(ios).getByText("n 60 / 70").title).toBe("60 reached signup_started, and 70 in the period before");
  const change = within(ios).getByTitle("Within what chance alone explains at these numbers");
  expect(change.textContent).toMatch(/^−9.5 pts/);
  expect(change.className).toContain("text-muted");
});

test("a query that runs can be cancelled, and run again", async () => {
  let finish = (_: object) => {};
  handlers.QueryTrend = ({ signal }) =>
    new Promise((done, fail) => {
      finish = done;
      signal.addEventListener("abort", () => fail(new StatusError("cancelled", Code.Canceled)));
    });
  const { user } = await open("/explore?range=24h&s=page_view");
  await user.click(await screen.findByRole("button", { name: "Cancel" }));
  await screen.findByText("Cancelled");
  await user.click(screen.getByRole("button", { name: "Run" }));
  await waitFor(() => expect(callsOf("QueryTrend").length).toBeGreaterThan(0));
  await act(async () => finish(trend([[], 7])));
  await screen.findByText("184 ms · 40,321 rows read");
});

test("a question that failed because the server was away is asked again when it is back", async () => {
  handlers.QueryTrend = () => new ConnectionLost("gone");
  await open("/explore?range=24h&s=page_view");
  await screen.findByText("The server cannot be reached");
  handlers.QueryTrend = () => trend([[], 7]);
  act(() => live.setConnection({ phase: "offline" }));
  act(() => live.setConnection({ phase: "live" }));
  await screen.findByText("184 ms · 40,321 rows read");
});

test("a condition that is being entered keeps the result, and its picker opens at once", async () => {
  const { user, search } = await open("/explore?range=24h&s=page_view");
  await screen.findByText("184 ms · 40,321 rows read");
  await user.click(screen.getByRole("button", { name: "Condition" }));
  await user.click(await screen.findByRole("option", { name: /^country/ }));
  await screen.findByText("Applied once it is complete");
  expect(screen.getByText("184 ms · 40,321 rows read")).toBeTruthy();
  expect(screen.getByRole("heading", { name: "page_view" })).toBeTruthy();
  expect(callsOf("QueryTrend")).toHaveLength(1);
  await user.type(screen.getByRole("combobox", { name: "Value" }), "Germany{Enter}");
  await screen.findByRole("heading", { name: "page_view, country is Germany" });
  expect(search()).toBe("?range=24h&zone=Europe/Madrid&s=page_view&where=country_code+is+DE");
});

test("without rows, the filter that removes everything is named and removed", async () => {
  handlers.QueryTrend = ({ request }) => ({
    ...trend([[], 5]),
    lines: [{ values: [{ value: 0 }, { value: 0 }], total: { value: request.filter ? 0 : 1204 } }],
  });
  const { user, search } = await open("/explore?range=24h&s=page_view&where=country_code+is+ES");
  await screen.findByText("Nothing matches");
  expect((await screen.findByText("Without “country is Spain”:", { exact: false })).textContent).toContain("1,204");
  await user.click(screen.getByRole("button", { name: "Remove" }));
  await waitFor(() => expect(search()).toBe("?range=24h&zone=Europe/Madrid&s=page_view"));
});

test("over budget, a shorter range is offered", async () => {
  handlers.QueryTrend = () =>
    new StatusError("the query would read 900,000,000 rows; choose a shorter range", Code.ResourceExhausted);
  const { user, search } = await open("/explore?range=90d&s=page_view");
  await screen.findByText("This would read too many events");
  await user.click(screen.getByRole("button", { name: "Use the last 7 days" }));
  await waitFor(() => expect(search()).toContain("range=7d"));
});

test("a figure opens the people behind it", async () => {
  handlers.ListPeople = () => ({ people: [{ id: "user-1", events: 3n }], total: 1n });
  const { user } = await open("/explore?range=24h&s=page_view");
  await user.click(await screen.findByRole("button", { name: /^1,204: People behind page_view$/ }));
  const dialog = await screen.findByRole("dialog");
  await within(dialog).findByText("user-1");
  expect(callsOf("ListPeople")[0]?.request.figure.case).toBe("trend");
  expect(within(dialog).getByRole("link", { name: "Open the list" }).getAttribute("href")).toContain("figure=");
});

test("a question that was opened from a panel goes to a dashboard under the panel's title", async () => {
  rememberTitle(trendQuestion([seriesOf("page_view")]), "Page views");
  handlers.ListDashboards = () => ({ dashboards: [] });
  const { user } = await open("/explore?range=24h&s=page_view&by=properties.release&chart=ranking");
  await user.click(await screen.findByRole("button", { name: "Add to dashboard" }));
  const dialog = await screen.findByRole("dialog", { name: "Add to dashboard" });
  await within(dialog).findByDisplayValue("Page views by release");
  // A new dashboard keeps the range.
  let saved: Made | undefined;
  handlers.SaveDashboard = (call) => {
    saved = call;
    return { dashboard: call.request.dashboard };
  };
  await user.type(within(dialog).getByRole("textbox", { name: /dashboard/i }), "Wall");
  await user.click(within(dialog).getByRole("button", { name: "Add" }));
  await waitFor(() => expect(saved).toBeDefined());
  expect(saved?.request.dashboard).toMatchObject({
    name: "wall",
    range: { timeRange: TimeRange.TIME_RANGE_24H },
    items: [{ title: "Page views by release" }],
  });
});

test("saving names the version, and a conflict offers the newer one", async () => {
  const insight = {
    name: "views",
    title: "Views",
    description: "How many",
    etag: '"1"',
    query: { case: "trend", value: { series: [{ eventName: "page_view" }] } },
  };
  handlers.GetInsight = () => ({ insight });
  const saves: Made[] = [];
  handlers.SaveInsight = (call) => {
    saves.push(call);
    return saves.length === 1 ? new StatusError("changed", Code.Aborted) : { insight };
  };
  const { user, search } = await open("/explore?range=24h&insight=views");
  await screen.findByRole("heading", { name: "Views" });
  expect(screen.queryByText("unsaved changes")).toBeNull();
  await user.click(await screen.findByRole("button", { name: "Totals" }));
  await screen.findByText("unsaved changes");
  expect(search()).toBe("?range=24h&zone=Europe/Madrid&insight=views&s=page_view&chart=ranking");
  await user.click(screen.getByRole("button", { name: "Save" }));
  const dialog = await screen.findByRole("dialog", { name: "Save as insight" });
  await user.click(within(dialog).getByRole("button", { name: "Save" }));
  await within(dialog).findByText(/Somebody has saved a newer version/);
  expect(saves[0]?.request.insight).toMatchObject({ name: "views", etag: '"1"', chart: 5 });
  await user.click(within(dialog).getByRole("button", { name: "Open theirs" }));
  await waitFor(() => expect(search()).toBe("?range=24h&zone=Europe/Madrid&insight=views"));
});

test("SQL is run with its range, and an error has its line", async () => {
  handlers.QuerySql = () => new StatusError("sql: line 2: the function cunt is not allowed", Code.InvalidArgument);
  const { user } = await open("/explore?range=24h&q=sql");
  await user.click(await screen.findByRole("button", { name: "Run" }));
  expect((await screen.findByRole("alert")).textContent).toBe("Line 2: the function cunt is not allowed");
  expect(callsOf("QuerySql")[0]?.request.range).toMatchObject({ timeRange: 3, timeZone: "Europe/Madrid" });
  const editor = screen.getByRole("textbox", { name: "SQL statement" });
  await user.clear(editor);
  await user.type(editor, "SELECT eve");
  await user.click(await screen.findByRole("option", { name: /event_name/ }));
  await waitFor(() => expect((editor as HTMLTextAreaElement).value).toBe("SELECT event_name"));
});

test("parameters of a statement have fields, and are in the request and in the address", async () => {
  handlers.QuerySql = () =>
    new StatusError('limit: "500" is invalid; expected an integer from 1 to 100', Code.InvalidArgument);
  const sql = "-- parameter: limit UInt16 = 10 from 1 to 100: how many\nSELECT 1 LIMIT {limit:UInt16}";
  const { user, search } = await open(`/explore?range=24h&q=sql&set=limit:500&sql=${encodeURIComponent(sql)}`);
  const field = await screen.findByRole<HTMLInputElement>("textbox", { name: "limit" });
  expect(field.value).toBe("500");
  // A link is run.
  await screen.findByText('"500" is invalid; expected an integer from 1 to 100');
  expect(field.getAttribute("aria-invalid")).toBe("true");
  expect(callsOf("QuerySql").at(-1)?.request.parameters).toEqual({ limit: "500" });
  await user.clear(field);
  await user.type(field, "20{Enter}");
  await waitFor(() => expect(search()).toContain("set=limit:20"));
  await waitFor(() => expect(callsOf("QuerySql").at(-1)?.request.parameters).toEqual({ limit: "20" }));
  await user.clear(field);
  await user.type(field, "10{Enter}");
  await waitFor(() => expect(search()).not.toContain("set="));
  expect(callsOf("QuerySql").at(-1)?.request.parameters).toEqual({});
});
