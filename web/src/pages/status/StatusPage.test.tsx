import { act, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setClient } from "../../api/client.ts";
import type { GrpcWebClient } from "../../api/grpcWeb.ts";
import { KeyScope, Status, toDuration, toTimestamp } from "../../api/messages.ts";
import { Code, ConnectionLost, StatusError } from "../../api/status.ts";
import { queryClient } from "../../live/useCall.ts";
import { type FakeLive, replaceFake } from "../../test/fakeLive.ts";
import { renderPage } from "../../test/renderPage.tsx";

vi.mock("../../shell/live.ts", () => import("../../test/fakeLive.ts"));

const now = Date.now();
const health = (change: object = {}) => ({
  status: Status.OK,
  summary: "ok",
  bufferSize: 12n,
  lastFlush: toTimestamp(now - 2_000),
  journal: { durable: true, bytes: 63_000_000n, maxBytes: 8_000_000_000n, error: "" },
  deadLetters: { batches: 0n, events: 0n, refusedBatches: 0n, error: "", lastError: "" },
  clickhouse: {
    reachable: true,
    embedded: true,
    version: "26.7",
    error: "",
    engineRestarts: 0n,
    engineSandbox: "enforced",
    problems: [],
    replicas: [],
  },
  uptime: toDuration(26 * 3_600_000),
  version: "0.1.0",
  eventsAccepted: 1_000n,
  eventsRejected: 3n,
  eventsDuplicate: 0n,
  eventsInserted: 988n,
  ...change,
});
const NAMES = [
  {
    name: "page_view",
    events: 1_240n,
    days: [{ start: toTimestamp(now), events: 1_240n }],
    firstSeen: toTimestamp(now - 86_400_000),
    lastSeen: toTimestamp(now),
  },
  { name: "checkout_completed", events: 40n, days: [], stoppedSince: toTimestamp(now - 90_000_000) },
];
const PROPERTIES = [
  {
    key: "price",
    field: "properties.price",
    isOwn: false,
    ofEvent: true,
    events: 900n,
    isEstimate: true,
    types: [
      { type: 2, events: 800n, sharePct: 88.9 },
      { type: 1, events: 100n, sharePct: 11.1 },
    ],
    typeFlips: true,
  },
];

const setting = (name: string, change: object = {}) => ({
  name,
  value: "1",
  secret: false,
  isDefault: true,
  description: `about ${name}`,
  ...change,
});
const SETTINGS = [
  setting("MILLRACE_LISTEN", { value: "0.0.0.0:8080", isDefault: false }),
  setting("CLICKHOUSE_PASSWORD", { value: "", secret: true, isDefault: false }),
  setting("RETENTION_DAYS", { value: "90" }),
];

const letter = (batchId: string, change: object = {}) => ({
  batchId,
  events: 500n,
  bytes: 1_000n,
  deadLetteredAt: toTimestamp(now - 60_000),
  reason: `no space for ${batchId}`,
  refused: false,
  attempts: 3,
  nextAttemptAt: toTimestamp(now + 60_000),
  ...change,
});
const someDeadLetters = { deadLetters: { batches: 2n, events: 1_000n, refusedBatches: 1n, error: "", lastError: "" } };

let responses: Record<string, () => unknown>;
let report: (message: object) => void;
let breakStream: (error: Error) => void;
let live: FakeLive;

const client: GrpcWebClient = {
  unary: async ({ path }, request) => {
    const respond = responses[path.split("/")[1] ?? ""];
    if (!respond) throw new StatusError(`no response for ${path}`, Code.Unimplemented);
    return (respond as (request: unknown) => unknown)(request) as never;
  },
  stream: async function* (_, __, { signal }) {
    const queue: object[] = [{ health: health() }];
    let wake = () => {};
    let failure: Error | undefined;
    report = (message) => {
      queue.push(message);
      wake();
    };
    breakStream = (error) => {
      failure = error;
      wake();
    };
    signal.addEventListener("abort", () => wake());
    while (!signal.aborted) {
      const next = queue.shift();
      if (next) yield next as never;
      else if (failure) throw failure;
      else await new Promise<void>((done) => (wake = done));
    }
  },
};

beforeEach(() => {
  setClient(client);
  live = replaceFake();
  responses = {
    ListEventNames: () => ({ names: NAMES, total: 7n }),
    ListProperties: () => ({ properties: PROPERTIES, otherEvents: 0n }),
    ListInsights: () => ({ insights: [], broken: [] }),
    ListDashboards: () => ({ dashboards: [], broken: [] }),
    ListKeys: () => ({ keys: [] }),
    ListSources: () => ({ sources: [], since: toTimestamp(now) }),
    ListSettings: () => ({ settings: SETTINGS }),
    ListPanelStatistics: () => ({ panels: [] }),
    ListValues: () => ({ values: [{ value: "12.5", events: 30n }], fromRollup: false }),
    ListAnnotations: () => ({ annotations: [], broken: [], version: "1", readOnly: false }),
  };
});
afterEach(() => {
  setClient(undefined);
  queryClient().clear();
});

async function open() {
  const page = renderPage("/status");
  act(() => live.goLive({ panels: [], version: "1" }));
  await screen.findByRole("region", { name: "Incoming events" });
  return page;
}

test("the verdict, the cards and the events are there", async () => {
  await open();
  expect(screen.getByText(/^All good/)).toBeTruthy();
  const incoming = screen.getByRole("region", { name: "Incoming events" });
  expect(incoming.textContent).toContain("1,000");
  expect(screen.getByRole("region", { name: "On the way to ClickHouse" }).textContent).toMatch(/63\sMB of 8\sGB/);
  expect(screen.getByRole("region", { name: "ClickHouse" }).textContent).toContain("Reachable");
  const events = await screen.findByRole("region", { name: "Events by volume" });
  expect(events.textContent).toContain("1,240");
  expect(within(events).getByText(/Stopped/)).toBeTruthy();
  expect(screen.getByText("5 more: search to find them.")).toBeTruthy();
  await screen.findByText(/No keys\./);
});

test("what needs attention is told in the server's words, and a lost connection with the way out", async () => {
  await open();
  act(() => report({ health: health({ status: Status.DEGRADED, summary: "3 batches wait for a replay" }) }));
  await screen.findByText("Needs attention");
  expect(screen.getByText("3 batches wait for a replay")).toBeTruthy();
  act(() => breakStream(new ConnectionLost("Failed to fetch")));
  await screen.findByText("No word from the server");
  expect(screen.getByText(/The server cannot be reached\. What follows is from before\./)).toBeTruthy();
  // The stream is opened again by itself.
  await screen.findByText(/^All good/);
});

test("each replica of ClickHouse is listed with its state, and what exactly-once lacks", async () => {
  await open();
  const replica = (address: string, change: object) => ({ address, used: false, version: "", error: "", ...change });
  const clickhouse = {
    ...health().clickhouse,
    embedded: false,
    problems: ["events forgets insert tokens too early"],
    replicas: [
      replica("http://a:8123", { error: "connection refused" }),
      replica("http://b:8123", { used: true, version: "26.7" }),
      replica("http://c:8123", { version: "26.7" }),
    ],
  };
  act(() => report({ health: health({ clickhouse }) }));
  const replicas = within(await screen.findByRole("list", { name: "Replicas" })).getAllByRole("listitem");
  expect(replicas.map(({ textContent }) => textContent)).toEqual([
    "http://a:8123▲ not usableconnection refused",
    "http://b:8123in use, 26.7",
    "http://c:8123ready, 26.7",
  ]);
  expect(screen.getByText("events forgets insert tokens too early")).toBeTruthy();
});

test("what waits in Kafka is shown with the partitions that are not consumed", async () => {
  await open();
  expect(screen.queryByRole("region", { name: "Kafka" })).toBeNull();
  const show = (kafka: object) => act(() => report({ health: health({ kafka: { error: "", ...kafka } }) }));
  show({ partitions: [] });
  const card = await screen.findByRole("region", { name: "Kafka" });
  expect(card.textContent).toContain("No partitions are assigned to this server");
  const partition = (number: number, change: object) => ({ topic: "events", partition: number, error: "", ...change });
  show({ error: "Kafka cannot be consumed: no broker", partitions: [partition(0, {})] });
  await within(card).findByText("Kafka cannot be consumed: no broker");
  expect(card.textContent).toContain("Measuring…");
  show({
    partitions: [
      partition(0, { lagMessages: 1_200n, oldestUnlanded: toTimestamp(now - 3_600_000) }),
      partition(1, { lagMessages: 3_000n, oldestUnlanded: toTimestamp(now - 7_200_000) }),
      ...[2, 3, 4, 5].map((number) => partition(number, { error: "its seals contradict each other" })),
    ],
  });
  await within(card).findByText("4,200");
  expect(card.textContent).toContain("events/1: 3,000");
  expect(card.textContent?.replace(/\s/g, " ")).toContain("2 h 0 min");
  expect(within(card).getAllByText(/its seals contradict each other/).length).toBe(3);
  expect(card.textContent).toContain("events/4: its seals");
  expect(card.textContent).toContain("1 more partition is not consumed.");
});

test("recent rejections are in the verdict, and lead to the rejected events", async () => {
  responses.ListRejectedEvents = () => ({
    total: 150n,
    counts: [{ field: "timestamp", reason: "late", events: 150n, lastAt: toTimestamp(now - 180_000) }],
    events: [],
  });
  await open();
  await screen.findByText(/150 (events )?were rejected/);
  expect(screen.getByRole("link", { name: "See why" }).getAttribute("href")).toMatch(/\/live\?.*show=rejected/);
  const figure = screen.getByRole("link", { name: "3, see why they were rejected" });
  expect(figure.getAttribute("href")).toContain("show=rejected");
});

test("who sends events is listed with devices, the last event and what was rejected", async () => {
  const device = (deviceType: string, accepted: bigint, ago: number) => ({
    deviceType,
    accepted,
    lastAcceptedAt: toTimestamp(now - ago),
  });
  responses.ListSources = () => ({
    since: toTimestamp(now - 86_400_000),
    sources: [
      {
        source: 3,
        keyId: "k1",
        library: "analytics-ios/4.1",
        accepted: 1_200n,
        lastAcceptedAt: toTimestamp(now - 7_200_000),
        rejected: 12n,
        lastRejectedAt: toTimestamp(now - 60_000),
        devices: [device("mobile", 1_000n, 7_200_000), device("tablet", 200n, 7_260_000)],
      },
    ],
  });
  await open();
  const row = await screen.findByRole("rowheader", { name: /analytics-ios\/4\.1/ });
  const cells = within(row.closest("tr") as HTMLElement).getAllByRole("cell");
  expect(row.textContent).toContain("Segment, key k1");
  expect(cells.map(({ textContent }) => textContent.replace(/\s/g, " "))).toEqual([
    "mobile 1,000 2 h 0 min agotablet 200 2 h 1 min ago",
    "…",
    "1,200",
    "2 h 0 min ago",
    "▲ 12",
  ]);
  expect(screen.getByRole("link", { name: "▲ 12" }).getAttribute("href")).toContain("show=rejected");
});

test("an event shows its properties and marks those whose type changes", async () => {
  const { user } = await open();
  await user.click(await screen.findByRole("button", { name: "page_view" }));
  const table = await screen.findByRole("table", { name: "Properties of page_view" });
  expect(table.textContent).toContain("number 88.9%, text 11.1%");
  expect(within(table).getByText(/Type changes/)).toBeTruthy();
  expect(screen.getByRole("link", { name: "Trend in Explore" }).getAttribute("href")).toMatch(
    /\/explore\?.*s=page_view/,
  );
  expect(screen.getByRole("link", { name: "See them live" }).getAttribute("href")).toContain(
    "where=event_name:page_view",
  );
  await user.click(within(table).getByRole("button", { name: "price" }));
  const value = await screen.findByRole("link", { name: "Live events with price 12.5" });
  expect(value.getAttribute("href")).toContain("where=properties.price:12.5");
});

test("files with errors are listed with their lines, from panels and insights", async () => {
  responses.ListInsights = () => ({
    insights: [],
    broken: [{ file: "insights/a.yaml", line: 4, message: "no query" }],
  });
  await open();
  act(() => live.goLive({ broken: [{ file: "b.sql", line: 0, message: "there is no SELECT" }] }));
  await screen.findByText("insights/a.yaml");
  expect(screen.getByText("line 4")).toBeTruthy();
  expect(screen.getByText("there is no SELECT")).toBeTruthy();
});

test("without events there is a hint", async () => {
  responses.ListEventNames = () => ({ names: [], total: 0n });
  await open();
  await screen.findByText("No events yet");
});

test("a reader without the role sees one sentence instead of what is for administrators", async () => {
  const deny = () => {
    throw new StatusError("this needs the scope admin", Code.PermissionDenied);
  };
  Object.assign(responses, { ListSettings: deny, ListKeys: deny, ListPanelStatistics: deny, ListDeadLetters: deny });
  await open();
  await screen.findByRole("region", { name: "For administrators" });
  for (const name of ["Keys", "Settings", "Cost of panels", "Dead-lettered batches"]) {
    expect(screen.queryByRole("region", { name })).toBeNull();
  }
  expect(screen.queryByText(/this needs the scope admin/)).toBeNull();
});

test("freshness, and the age of the oldest event that has not landed", async () => {
  await open();
  const card = screen.getByRole("region", { name: "Freshness" });
  expect(card.textContent).toContain("No batch in the last five minutes");
  expect(card.textContent).toContain("all have landed");
  const freshness = { p50: toDuration(320), p99: toDuration(1_900) };
  act(() => report({ health: health({ freshness, oldestUnlanded: toTimestamp(Date.now() - 25_000) }) }));
  await waitFor(() => expect(card.textContent).toMatch(/320\sms/));
  expect(card.textContent).toMatch(/1\.9\ss/);
  expect(card.textContent).toMatch(/\d\d\.0\ss: late/);
});

test("a card whose value is missing says why", async () => {
  await open();
  const storage = { storedBytes: 1n, freeBytes: 1n, totalBytes: 2n, growthBytesPerDay: undefined };
  const missing = { freshness: undefined, uptime: undefined, lastFlush: undefined, storage };
  act(() =>
    report({
      health: health({
        ...missing,
        clickhouse: { problems: [], replicas: [], reachable: false, version: "", error: "" },
      }),
    }),
  );
  const card = (name: string) => screen.getByRole("region", { name }).textContent;
  await waitFor(() => expect(card("Freshness")).toContain("No batch in the last five minutes"));
  expect(card("Freshness")).toContain("99th percentilenot measured");
  expect(card("Incoming events")).toMatch(/Since the start of the server$/);
  expect(card("On the way to ClickHouse")).toContain("Last insertnone since the start");
  expect(card("Disk of ClickHouse")).toContain("Growthnot measured yet");
  expect(card("ClickHouse")).toContain("Versionnot known");
  for (const name of ["Freshness", "Incoming events", "On the way to ClickHouse", "Disk of ClickHouse", "ClickHouse"])
    expect(card(name), name).not.toContain("–");
});

test("the disk says when it is full", async () => {
  await open();
  const card = screen.getByRole("region", { name: "Disk of ClickHouse" });
  expect(card.textContent).toContain("Not known yet");
  const storage = { storedBytes: 4_000_000_000n, freeBytes: 82_000_000_000n, totalBytes: 200_000_000_000n };
  act(() => report({ health: health({ storage }) }));
  await within(card).findByText(/The growth is known ten minutes after/);
  act(() => report({ health: health({ storage: { ...storage, growthBytesPerDay: 2_000_000_000n } }) }));
  await within(card).findByText("Full in about 41 days at this growth.");
  expect(card.textContent).toMatch(/Assumes 2\sGB a day.*kept for 90 days/);
});

test("dead letters are replayed after a confirmation, and each has its outcome", async () => {
  let letters: object[] = [letter("a"), letter("b", { refused: true, nextAttemptAt: undefined, attempts: 24 })];
  const replayed: string[][] = [];
  responses.ListDeadLetters = () => ({ deadLetters: letters, problems: [] });
  responses.ReplayDeadLetters = ((request: { batchIds: string[] }) => {
    replayed.push(request.batchIds);
    letters = letters.map((each) => ({ ...each, attempts: 0, refused: false, nextAttemptAt: undefined }));
    return { batches: 2 };
  }) as never;
  const { user } = await open();
  act(() => report({ health: health(someDeadLetters) }));
  const section = await screen.findByRole("region", { name: "Dead-lettered batches" });
  await within(section).findByText("no space for a");
  expect(section.textContent).toContain("Only by hand");
  await user.click(within(section).getByRole("button", { name: "Replay all" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog.textContent).toContain("1,000 events are inserted again");
  await user.click(within(dialog).getByRole("button", { name: "Replay all" }));
  await within(section).findByText("Replaying 2 batches");
  expect(replayed).toEqual([[]]);
  letters = [letter("b", { attempts: 1, reason: "still no space" })];
  await within(section).findByText(/1 batch was inserted/, undefined, { timeout: 3_000 });
  expect(section.textContent).toContain("1 batch has failed again");
  expect(section.textContent).toContain("still no space");
  // One of them alone, which cannot be replayed.
  responses.ReplayDeadLetters = () => {
    throw new StatusError("the dead letters cannot be changed", Code.Internal);
  };
  await user.click(within(section).getByRole("button", { name: "Replay batch b" }));
  const again = await screen.findByRole("dialog");
  await user.click(within(again).getByRole("button", { name: "Replay" }));
  await within(again).findByText("The replay could not be started: the dead letters cannot be changed.");
});

test("the cost of panels, with failures", async () => {
  responses.ListPanelStatistics = () => ({
    panels: [
      {
        panel: "active_users",
        statements: 1_204n,
        failures: 2n,
        average: toDuration(14),
        p99: toDuration(250),
        lastError: "Memory limit exceeded",
        lastErrorAt: toTimestamp(now),
      },
    ],
  });
  await open();
  const table = await screen.findByRole("region", { name: "Panels by the time of their statements" });
  expect(table.textContent).toMatch(/active_users1,20414\sms250\sms▲ 2.*Memory limit exceeded/);
});

test("settings that were changed are shown, others are found", async () => {
  const { user } = await open();
  const section = await screen.findByRole("region", { name: "Settings" });
  await within(section).findByText("MILLRACE_LISTEN");
  expect(section.textContent).toContain("secret");
  expect(section.textContent).not.toContain("RETENTION_DAYS");
  await user.type(within(section).getByRole("searchbox"), "retention");
  await within(section).findByText("RETENTION_DAYS");
  await waitFor(() => expect(section.textContent).not.toContain("MILLRACE_LISTEN"));
});

const KEYS = [
  {
    id: "aaaaaaaaaa",
    name: "operators",
    scope: KeyScope.ADMIN,
    project: "default",
    origins: [],
    events: [],
    secrets: 1,
  },
  {
    id: "bbbbbbbbbb",
    name: "shop pages",
    scope: KeyScope.BROWSER,
    project: "shop",
    origins: ["https://shop.example"],
    events: [],
    secrets: 2,
  },
];

test("a key is created, and its text is shown once", async () => {
  const created: unknown[] = [];
  responses.ListKeys = () => ({ keys: KEYS });
  responses.CreateKey = ((request: object) => {
    created.push(request);
    return { key: { ...KEYS[1], name: "new pages" }, text: "mr_browser_secret" };
  }) as never;
  const { user } = await open();
  const section = await screen.findByRole("region", { name: "Keys" });
  await within(section).findByText(/https:\/\/shop\.example/);
  await user.click(within(section).getByRole("button", { name: "New key" }));
  const dialog = await screen.findByRole("dialog");
  await user.click(within(dialog).getByRole("button", { name: "Create" }));
  await within(dialog).findByText("Enter a name.");
  await user.type(within(dialog).getByLabelText("Name"), "new pages");
  await user.click(within(dialog).getByRole("button", { name: "Send from pages" }));
  await user.type(within(dialog).getByLabelText("Origins of the pages"), "https://new.example");
  await user.click(within(dialog).getByRole("button", { name: "Create" }));
  await screen.findByText("mr_browser_secret");
  expect(created).toMatchObject([{ name: "new pages", scope: KeyScope.BROWSER, origins: ["https://new.example"] }]);
  await user.click(screen.getByRole("button", { name: "I have copied it" }));
  await waitFor(() => expect(screen.queryByText("mr_browser_secret")).toBeNull());
});

test("a key is revoked only after a confirmation, which warns of the last one with everything", async () => {
  const revoked: unknown[] = [];
  responses.ListKeys = () => ({ keys: KEYS });
  responses.RevokeKey = ((request: object) => {
    revoked.push(request);
    return {};
  }) as never;
  const { user } = await open();
  const choose = async (key: string, action: string) => {
    await user.click(await screen.findByRole("button", { name: `Actions for ${key}` }));
    await user.click(await screen.findByRole("menuitem", { name: action }));
    return screen.findByRole("dialog");
  };
  const first = await choose("operators", "Revoke");
  expect(first.textContent).toContain("the only key with everything");
  await user.click(within(first).getByRole("button", { name: "Cancel" }));
  expect(revoked).toEqual([]);
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  const second = await choose("shop pages", "Revoke the older secret");
  await user.click(within(second).getByRole("button", { name: "Revoke the older secret" }));
  await waitFor(() => expect(revoked).toEqual([{ id: "bbbbbbbbbb", oldSecretsOnly: true }]));
});

test("after a change of a key the dialog stays until the table is current, so that no menu has an item that vanishes", async () => {
  responses.ListKeys = () => ({ keys: KEYS });
  const { user } = await open();
  const openMenu = async () => user.click(await screen.findByRole("button", { name: "Actions for shop pages" }));
  await openMenu();
  let list = () => {};
  let listed = 0;
  responses.RevokeKey = () => {
    responses.ListKeys = (() => {
      listed += 1;
      return new Promise((done) => {
        list = () => done({ keys: KEYS.map((key) => ({ ...key, secrets: 1 })) });
      });
    }) as never;
    return {};
  };
  await user.click(await screen.findByRole("menuitem", { name: "Revoke the older secret" }));
  const dialog = await screen.findByRole("dialog");
  await user.click(within(dialog).getByRole("button", { name: "Revoke the older secret" }));
  await waitFor(() => expect(listed).toBe(1));
  expect(screen.queryByRole("dialog")).not.toBeNull();
  list();
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  await openMenu();
  await screen.findByRole("menuitem", { name: "Revoke" });
  expect(screen.queryByRole("menuitem", { name: "Revoke the older secret" })).toBeNull();
});
