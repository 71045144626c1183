import { act, cleanup, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setClient } from "../../api/client.ts";
import type { ListRejectedEventsResponse } from "../../api/messages.ts";
import { EventSource, toTimestamp } from "../../api/messages.ts";
import {
  LIST_EVENT_NAMES,
  LIST_PROPERTIES,
  LIST_REJECTED_EVENTS,
  LIST_VALUES,
  SEARCH_EVENTS,
} from "../../api/methods.ts";
import { Code, ConnectionLost, StatusError } from "../../api/status.ts";
import { installBrowser } from "../../test/browser.ts";
import { type FakeLive, panelInfo, replaceFake } from "../../test/fakeLive.ts";
import { renderPage } from "../../test/renderPage.tsx";
import { accepted, FakeClient } from "./fakeClient.testing.ts";

vi.mock("../../shell/live.ts", () => import("../../test/fakeLive.ts"));
installBrowser();

let live: FakeLive;
let client: FakeClient;
let rejected: Partial<ListRejectedEventsResponse>;
beforeEach(() => {
  live = replaceFake();
  localStorage.clear();
  rejected = { events: [], counts: [], total: 0n };
  client = new FakeClient()
    .install()
    .on(LIST_REJECTED_EVENTS, () => rejected)
    .on(SEARCH_EVENTS, () => ({ events: [], nextPageToken: "" }));
});
afterEach(() => {
  cleanup();
  setClient(undefined);
  vi.restoreAllMocks();
});

const NOW = Date.now();

async function open(address = "/live", hasEvents = true) {
  const page = renderPage(address);
  act(() =>
    live.goLive({
      panels: [panelInfo("a")],
      dimensions: [{ name: "country_code", events: [] }],
      version: "1",
      hasEvents,
    }),
  );
  await waitFor(() => expect(client.tail).toBeTruthy());
  return page;
}
const rows = () => [...document.querySelectorAll<HTMLElement>("[data-event]")];
const push = (...messages: Parameters<FakeClient["tail"]["push"]>) => act(() => client.tail.push(...messages));

test("the last events, then live ones on top", async () => {
  await open();
  push({ events: [accepted(NOW - 2_000), accepted(NOW - 1_000, { eventName: "error_occurred" })] });
  await waitFor(() => expect(rows()).toHaveLength(2));
  push({ events: [accepted(NOW, { eventName: "login", userId: "u1" })] });
  await waitFor(() => expect(rows().map((row) => row.dataset.event)).toEqual(["login", "error_occurred", "page_view"]));
  expect(rows()[2]?.textContent).toContain("/pricing · plan pro");
  expect(document.title).toBe("Live events · Millrace");
});

test("an event opens as JSON, whose values filter", async () => {
  const { user, search } = await open();
  push({ events: [accepted(NOW, { userId: "u1" })] });
  await user.click(await screen.findByRole("button", { name: /page_view at .*: show the event/ }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog.textContent).toContain('"page_url": "/pricing"');
  expect(dialog.textContent).toContain("received 12");
  expect(within(dialog).getByRole("link", { name: "Show person" }).getAttribute("href")).toContain("/people/u1?");
  await user.click(within(dialog).getByRole("button", { name: "Only events with plan: pro" }));
  await waitFor(() => expect(search()).toContain("where=properties.plan:pro"));
  // Another filter is another stream.
  await waitFor(() =>
    expect(client.tail.request.filter).toEqual({
      condition: { case: "field", value: { field: "properties.plan", operator: 1, values: ["pro"] } },
    }),
  );
});

test("a value that dashboards filter by becomes a filter of the bar", async () => {
  const { user, search } = await open();
  push({ events: [accepted(NOW)] });
  await user.click(await screen.findByRole("button", { name: "Only country: Spain, ES" }));
  await waitFor(() => expect(search()).toContain("filter=country_code:ES"));
  expect(search()).not.toContain("where=");
});

test("conditions are chips, and can be removed", async () => {
  const { user, search } = await open("/live?where=event_name:login&where=properties.plan!:free&where=broken");
  expect(screen.getByText("plan is not free")).toBeTruthy();
  expect(screen.getByText(/cannot be applied: broken/)).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Remove the condition event is login" }));
  await waitFor(() => expect(search()).not.toContain("event_name"));
  expect(search()).toContain("where=properties.plan!:free".replace("!", "%21"));
});

test("a condition is chosen from the catalogue: an event, then a property and its values", async () => {
  const seen = toTimestamp(NOW);
  client
    .on(LIST_EVENT_NAMES, () => ({ names: [{ name: "checkout", events: 1_200n, lastSeen: seen }] }))
    .on(LIST_PROPERTIES, () => ({
      properties: [{ key: "plan", field: "properties.plan", ofEvent: true, events: 9n, types: [{ type: 1 }] }],
    }))
    .on(LIST_VALUES, () => ({ values: [{ value: "free", events: 8n }] }));
  const { user, search } = await open("/live?where=event_name:login");
  await user.click(screen.getByRole("button", { name: "Add condition" }));
  const form = await screen.findByRole("dialog", { name: "Add condition" });
  await user.click(await within(form).findByRole("button", { name: "Add" }));
  expect(within(form).getByRole("alert").textContent).toBe("Choose or enter a value");
  await user.click(within(form).getByRole("button", { name: /^Value: / }));
  await user.click(await screen.findByRole("option", { name: /checkout.*1.2K · last within 15 min/ }));
  await user.click(within(form).getByRole("button", { name: "Add" }));
  await waitFor(() => expect(search()).toContain("where=event_name:login&where=event_name:checkout"));
  await user.click(screen.getByRole("button", { name: "Add condition" }));
  const second = await screen.findByRole("dialog", { name: "Add condition" });
  await user.click(await within(second).findByRole("button", { name: /^Property: / }));
  await user.click(await screen.findByRole("option", { name: /^plan/ }));
  await user.click(within(second).getByRole("button", { name: "Comparison: is" }));
  await user.click(await screen.findByRole("option", { name: "is not" }));
  const value = within(second).getByRole("combobox", { name: "Value" });
  await user.click(value);
  await waitFor(() => expect(value.getAttribute("placeholder")).toBe("free…"));
  await user.type(value, "free{Enter}trial");
  await user.click(within(second).getByRole("button", { name: "Add" }));
  await waitFor(() => expect(client.tail.request.filter?.condition?.case).toBe("all"));
  const chips = within(screen.getByRole("list", { name: "Conditions" })).getAllByRole("listitem");
  expect(chips.map((chip) => chip.textContent)).toEqual([
    "event is login",
    "orcheckout",
    "andplan is not free",
    "ortrial",
  ]);
});

test("nothing matches: says by what, and how to see everything", async () => {
  const { user, search } = await open("/live?where=event_name:nothing");
  push({ events: [] });
  expect(await screen.findByText("No event matches")).toBeTruthy();
  expect(screen.getByText(/is stored with event: nothing/)).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Remove the conditions" }));
  await waitFor(() => expect(search()).not.toContain("where"));
});

test("what is left out is told", async () => {
  await open();
  push({ events: [] });
  push({ events: Array.from({ length: 20 }, (_, i) => accepted(NOW + i)), skipped: 380n });
  expect(await screen.findByText("Showing 1 of 20: 380 left out in the last 10 s")).toBeTruthy();
});

test("paused, the list holds still and counts what waits", async () => {
  const { user } = await open();
  push({ events: [accepted(NOW)] });
  await waitFor(() => expect(rows()).toHaveLength(1));
  await user.keyboard(" ");
  push({ events: [accepted(NOW + 1), accepted(NOW + 2)] });
  const pill = await screen.findByRole("button", { name: "Show 2 new events" });
  expect(rows()).toHaveLength(1);
  await user.click(pill);
  await waitFor(() => expect(rows()).toHaveLength(3));
});

test("after a disconnection a gap is shown and loaded", async () => {
  const { user } = await open();
  push({ events: [accepted(NOW - 60_000)] });
  await waitFor(() => expect(rows()).toHaveLength(1));
  const before = client.tail;
  act(() => before.fail(new ConnectionLost("x")));
  expect(await screen.findByText(/Disconnected: the server cannot be reached/)).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Retry" }));
  await waitFor(() => expect(client.tail).not.toBe(before));
  push({ events: [], recentProblem: "too slow" });
  await waitFor(() => expect(document.querySelector("[data-gap=open]")).toBeTruthy());
  client.on(SEARCH_EVENTS, () => ({ events: [accepted(NOW - 30_000, { eventName: "login" })], nextPageToken: "" }));
  await user.click(screen.getByRole("button", { name: "Load" }));
  await waitFor(() => expect(rows().map((row) => row.dataset.event)).toEqual(["login", "page_view"]));
  expect(document.querySelector("[data-gap]")).toBeNull();
});

test("a rejected request says why", async () => {
  await open("/live?where=a*:(");
  act(() => client.tail.fail(new StatusError("filter: the regular expression is invalid", Code.InvalidArgument)));
  expect(await screen.findByText("filter: the regular expression is invalid")).toBeTruthy();
});

test("a new server shows how to send the first event, then that event with its latency", async () => {
  await open("/live", false);
  expect(await screen.findByText("Send the first event")).toBeTruthy();
  push({ events: [] });
  push({ events: [accepted(Date.now(), { sessionId: "test-1", propertiesJson: '{"page_url":"/test"}' })] });
  expect(await screen.findByText(/Your test event has arrived: \d+/)).toBeTruthy();
  expect(document.querySelector("[data-event][data-test]")).toBeTruthy();
  expect(screen.queryByText("Send the first event")).toBeNull();
});

test("rejected events: reasons, the list, and how to fix them", async () => {
  const { HTTP } = EventSource;
  rejected = {
    total: 8n,
    counts: [
      {
        field: "country_code",
        reason: "… is not an ISO … … code like …",
        source: HTTP,
        events: 7n,
        libraries: ["shop-ios/2.4.1"],
        firstAt: toTimestamp(NOW - 60_000),
        lastAt: toTimestamp(NOW),
      },
      {
        field: "timestamp",
        reason: "is missing; the time of the event is required",
        source: HTTP,
        events: 1n,
        libraries: [],
      },
    ] as ListRejectedEventsResponse["counts"],
    events: [
      {
        time: toTimestamp(NOW),
        keyId: "mobile",
        source: HTTP,
        library: "shop-ios/2.4.1",
        eventName: "checkout",
        field: "country_code",
        reason: '"SPAIN" is not an ISO 3166-1 alpha-2 code like "ES"',
        payload: '{"event_name":"checkout","country_code":"SPAIN","prop',
      },
      {
        time: toTimestamp(NOW - 1_000),
        keyId: "",
        source: HTTP,
        eventName: "login",
        field: "timestamp",
        reason: "is missing; the time of the event is required",
        payload: "",
      },
    ] as ListRejectedEventsResponse["events"],
  };
  const { user, search } = renderPage("/live?show=rejected");
  expect(await screen.findByText("8 events rejected for 2 reasons")).toBeTruthy();
  const listed = () => [...document.querySelectorAll("[data-rejected-row]")].length;
  expect(listed()).toBe(2);
  const reason = screen.getByRole("button", { name: /^7 country_code/ });
  expect(reason.textContent).toMatch(/shop-ios\/2\.4\.1\S+ to \S+$/);
  await user.click(reason);
  await waitFor(() => expect(listed()).toBe(1));
  expect(search()).toContain("reason=");
  await user.click(screen.getByRole("button", { name: /^checkout, rejected at/ }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog.textContent).toContain("Send the two-letter code of ISO 3166-1");
  expect(dialog.textContent).toContain("shop-ios/2.4.1, over HTTP, with the key mobile");
  expect(dialog.textContent).toContain('"SPAIN"');
});

test("no event was rejected", async () => {
  renderPage("/live?show=rejected");
  expect(await screen.findByText("No event was rejected")).toBeTruthy();
});
