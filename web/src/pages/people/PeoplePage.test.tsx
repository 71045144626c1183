import { act, cleanup, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setClient } from "../../api/client.ts";
import { encodeFigure } from "../../api/figureAddress.ts";
import { type Person, TimeRange, toTimestamp } from "../../api/messages.ts";
import { GET_PERSON, GET_TIMELINE, LIST_PEOPLE, LIST_SESSIONS, SEARCH_PEOPLE } from "../../api/methods.ts";
import { Code, StatusError } from "../../api/status.ts";
import { installBrowser } from "../../test/browser.ts";
import { type FakeLive, panelInfo, replaceFake } from "../../test/fakeLive.ts";
import { renderPage } from "../../test/renderPage.tsx";
import { FakeClient } from "../live/fakeClient.testing.ts";

vi.mock("../../shell/live.ts", () => import("../../test/fakeLive.ts"));
installBrowser();

const NOW = Date.now();
const HOUR = 3_600_000;
const person = (id: string, isUser = true): Person =>
  ({
    id,
    isUser,
    firstSeen: toTimestamp(NOW - 48 * HOUR),
    lastSeen: toTimestamp(NOW - HOUR),
    firstCountry: "ES",
    lastCountry: "FR",
    firstDevice: "mobile",
    lastDevice: "mobile",
  }) as Person;
const unexpectedError = () => {
  throw new StatusError("ClickHouse is busy", Code.InvalidArgument);
};

let live: FakeLive;
let client: FakeClient;
beforeEach(() => {
  live = replaceFake();
  localStorage.clear();
  client = new FakeClient().install().on(GET_PERSON, ({ id = "" }) => ({
    person: person(id),
    traits: [],
    sessionIds: [],
    sessionCount: 0n,
    events: [],
    eventCount: 42n,
  }));
});
afterEach(() => {
  cleanup();
  setClient(undefined);
});

async function open(address: string) {
  const page = renderPage(address);
  act(() => live.goLive({ panels: [panelInfo("a")], version: "1", hasEvents: true }));
  await screen.findByRole("heading", { level: 1 });
  return page;
}
const listed = () => [...document.querySelectorAll<HTMLElement>("[data-person]")].map((row) => row.dataset.person);

test("people are searched by the beginning of their id, which is in the address", async () => {
  client.on(SEARCH_PEOPLE, ({ idPrefix = "" }) => ({
    people: ["u1", "u12", "v3"].filter((id) => id.startsWith(idPrefix)).map((id) => person(id)),
    nextPageToken: "",
  }));
  const { user, search } = await open("/people");
  await waitFor(() => expect(listed()).toEqual(["u1", "u12", "v3"]));
  await user.type(screen.getByRole("searchbox", { name: "User or session id" }), "u1{Enter}");
  await waitFor(() => expect(listed()).toEqual(["u1", "u12"]));
  expect(search()).toContain("search=u1");
  // What a search does not say is read for each row.
  await waitFor(() => expect(document.querySelector("[data-person=u1]")?.textContent).toContain("42"));
  expect(document.querySelector("[data-person=u1] a")?.getAttribute("href")).toContain("/people/u1?");
});

test("people are searched by a trait", async () => {
  client.on(SEARCH_PEOPLE, ({ traitName, traitValue }) => ({
    people: traitName === "plan" && traitValue === "pro" ? [person("u7")] : [],
    nextPageToken: "",
  }));
  await open("/people?trait=plan&value=pro");
  await waitFor(() => expect(listed()).toEqual(["u7"]));
});

test("no match, and back to everybody", async () => {
  client.on(SEARCH_PEOPLE, ({ idPrefix }) => ({
    people: idPrefix ? [] : [person("u1")],
    nextPageToken: "",
  }));
  const { user } = await open("/people?search=nobody");
  expect(await screen.findByText(/No user_id or session_id begins with “nobody”/)).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Show everybody" }));
  await waitFor(() => expect(listed()).toEqual(["u1"]));
});

test("without a user_id, the page says how to send one", async () => {
  client.on(SEARCH_PEOPLE, () => ({ people: [person("s1", false)], nextPageToken: "" }));
  await open("/people");
  expect(await screen.findByText("Only sessions so far")).toBeTruthy();
});

test("a failure names its reason, and is tried again", async () => {
  client.on(SEARCH_PEOPLE, unexpectedError);
  const { user } = await open("/people");
  expect(await screen.findByText("ClickHouse is busy")).toBeTruthy();
  client.on(SEARCH_PEOPLE, () => ({ people: [person("u1")], nextPageToken: "" }));
  await user.click(screen.getByRole("button", { name: "Retry" }));
  await waitFor(() => expect(listed()).toEqual(["u1"]));
});

const figure = encodeFigure({
  case: "funnel",
  value: {
    query: {
      steps: [{ eventName: "signup_started" }, { eventName: "signup_completed" }],
      range: { timeRange: TimeRange.TIME_RANGE_24H },
    },
    step: 2,
  },
});

test("the people of a figure: as many as it counts, in pages", async () => {
  const ids = Array.from({ length: 150 }, (_, index) => `u${String(index).padStart(3, "0")}`);
  client.on(LIST_PEOPLE, ({ pageToken = "" }) => {
    const from = Number(pageToken);
    return {
      people: ids.slice(from, from + 100).map((id) => ({ id, events: 0n })),
      nextPageToken: from + 100 < ids.length ? String(from + 100) : "",
      total: 150n,
    };
  });
  await open(`/people?figure=${figure}`);
  expect(
    await screen.findByRole("heading", { name: "150 people who completed signup_started → signup_completed" }),
  ).toBeTruthy();
  expect(screen.getByText("the last 24 hours")).toBeTruthy();
  expect(client.requestsOf(LIST_PEOPLE)[0]).toMatchObject({
    figure: { case: "funnel", value: { step: 2 } },
    pageSize: 500,
  });
  expect(listed()[0]).toBe("u000");
});

test("a figure of zero", async () => {
  client.on(LIST_PEOPLE, () => ({ people: [], nextPageToken: "", total: 0n }));
  await open(`/people?figure=${figure}`);
  expect(await screen.findByText("No people who completed signup_started → signup_completed")).toBeTruthy();
});

test("a damaged link", async () => {
  await open("/people?figure=AAAA");
  expect(await screen.findByText("The link is damaged")).toBeTruthy();
});

test("a person: who they are, and what they did by session", async () => {
  client
    .on(GET_PERSON, () => ({
      person: person("u1"),
      traits: [{ name: "plan", valueJson: '"pro"', time: toTimestamp(NOW - HOUR) }],
      sessionIds: ["s1", "s2"],
      sessionCount: 3n,
      events: [{ eventName: "page_view", events: 40n }],
      eventCount: 42n,
    }))
    .on(LIST_SESSIONS, () => ({
      sessions: [
        {
          startTime: toTimestamp(NOW - HOUR),
          endTime: toTimestamp(NOW - HOUR + 60_000),
          events: 2n,
          firstPage: "/pricing",
        },
        { startTime: toTimestamp(NOW - 9 * HOUR), endTime: toTimestamp(NOW - 9 * HOUR), events: 1n, firstPage: "" },
      ].map((session) => ({ deviceType: "mobile", countryCode: "ES", ...session })),
      nextPageToken: "",
    }))
    .on(GET_TIMELINE, () => ({
      events: [
        [NOW - HOUR + 60_000, "error_occurred"],
        [NOW - HOUR, "page_view"],
        [NOW - 9 * HOUR, "login"],
      ].map(([at, eventName]) => ({
        eventId: String(at),
        eventName,
        timestamp: toTimestamp(Number(at)),
        sessionId: "s1",
        userId: "u1",
        deviceType: "mobile",
        countryCode: "ES",
        propertiesJson: '{"code":503}',
      })),
      nextPageToken: "",
    }));
  const { user } = await open("/people/u1");
  await waitFor(() => expect(document.querySelectorAll("[data-session]")).toHaveLength(2));
  expect(document.title).toBe("u1 · Millrace");
  expect(screen.getByText("France (at first Spain)")).toBeTruthy();
  expect(screen.getByText("pro")).toBeTruthy();
  expect(document.querySelector("[data-session]")?.textContent).toContain("2 events · mobile · Spain · /pricing");
  expect(screen.getByText(/^8 h 0 min before$/)).toBeTruthy();
  expect(document.querySelector("[data-strip]")?.getAttribute("data-strip")).toBe("3");
  expect(screen.getByRole("link", { name: "Their live events" }).getAttribute("href")).toContain("where=user_id:u1");
  expect(screen.getByRole("link", { name: "Explore their events" }).getAttribute("href")).toContain(
    "s=*&where=user_id+is+u1&by=event_name",
  );
  await user.click(screen.getByRole("button", { name: /^error_occurred at .*: show the event/ }));
  expect((await screen.findByRole("dialog")).textContent).toContain('"code": 503');
});

test("an id that nobody has", async () => {
  client.on(GET_PERSON, () => {
    throw new StatusError("nobody has the id", Code.NotFound);
  });
  await open("/people/u%2F9");
  expect(await screen.findByText("Nobody with this id")).toBeTruthy();
  expect(screen.getByText(/“u\/9”/)).toBeTruthy();
});
