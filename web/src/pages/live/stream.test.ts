import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Code, ConnectionLost, StatusError } from "../../api/status.ts";
import type { LiveEvent } from "./events.ts";
import type { EventSource, Page, SearchRequest, TailMessage } from "./source.ts";
import { LiveStream } from "./stream.ts";

const event = (at: number): LiveEvent => ({
  id: "",
  name: "e",
  at,
  receivedAt: at,
  session: `s${at}`,
  user: "",
  device: "unknown",
  country: "ZZ",
  properties: "{}",
});
const events = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => event(from + i));

class FakeSource implements EventSource {
  readonly tails: {
    push: (message: Partial<TailMessage>) => void;
    fail: (error: unknown) => void;
    signal: AbortSignal;
  }[] = [];
  readonly searches: SearchRequest[] = [];
  respond: (request: SearchRequest) => Page = () => ({ events: [], nextPageToken: "" });

  async *tail(_: unknown, signal: AbortSignal): AsyncGenerator<TailMessage> {
    const queue: (TailMessage | { error: unknown })[] = [];
    let wake = () => {};
    const add = (item: TailMessage | { error: unknown }) => {
      queue.push(item);
      wake();
    };
    this.tails.push({
      push: (message) => add({ events: [], leftOut: 0, unexamined: 0, recentProblem: "", ...message }),
      fail: (error) => add({ error }),
      signal,
    });
    signal.addEventListener("abort", () => wake());
    while (!signal.aborted) {
      const item = queue.shift();
      if (item && "error" in item) throw item.error;
      if (item) yield item;
      else await new Promise<void>((done) => (wake = done));
    }
  }

  async search(request: SearchRequest): Promise<Page> {
    this.searches.push(request);
    return this.respond(request);
  }

  get last() {
    const tail = this.tails.at(-1);
    if (!tail) throw new Error("no tail");
    return tail;
  }
}

let source: FakeSource;
let stream: LiveStream;
beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  source = new FakeSource();
  stream = new LiveStream({ filter: undefined, maxPerSecond: 20 }, source);
  stream.start();
});
afterEach(() => {
  stream.stop();
  vi.useRealTimers();
});

const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
const shown = () =>
  Array.from({ length: stream.read().length }, (_, i) => stream.row(i)).map((row) =>
    row?.kind === "event" ? row.event.at : `${row?.from}-${row?.to}`,
  );

test("the stored events, then live ones on top", async () => {
  source.last.push({ events: events(1, 3) });
  await settle();
  source.last.push({ events: [event(4)] });
  await settle(500);
  expect(shown()).toEqual([4, 3, 2, 1]);
  expect(stream.read()).toMatchObject({ phase: "live", firstArrival: { event: { at: 4 } } });
  expect(stream.row(0)).toMatchObject({ arrivedAt: 1_000_000 });
  expect(stream.row(1)).toMatchObject({ arrivedAt: undefined });
});

test("many messages are a few updates", async () => {
  source.last.push({ events: [] });
  await settle(1_000);
  let updates = 0;
  stream.subscribe(() => {
    updates += 1;
  });
  for (let at = 0; at < 100; at += 1) {
    source.last.push({ events: events(at * 10, at * 10 + 9) });
    await settle(10);
  }
  expect(updates).toBeLessThanOrEqual(4);
  await settle(500);
  expect(stream.read().length).toBe(1_000);
});

test("what is left out is told", async () => {
  source.last.push({ events: [] });
  await settle();
  source.last.push({ events: events(1, 20), leftOut: 380, unexamined: 3 });
  await settle(500);
  expect(stream.read().sampling).toEqual({ shown: 20, leftOut: 380, unexamined: 3 });
});

test("after a disconnection what was missed is added without a gap, if it is known to be all", async () => {
  source.last.push({ events: events(1, 5) });
  await settle();
  source.last.fail(new ConnectionLost("x"));
  await settle();
  expect(stream.read()).toMatchObject({ phase: "retrying", reason: "the server cannot be reached" });
  await settle(2_000);
  source.last.push({ events: events(3, 9) });
  await settle(500);
  expect(shown()).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1]);
  expect(stream.read().phase).toBe("live");
});

test("a gap is shown where events may be missing, and is loaded in pages", async () => {
  source.last.push({ events: events(1, 5) });
  await settle();
  source.last.fail(new ConnectionLost("x"));
  await settle(2_000);
  source.last.push({ events: events(2_001, 2_100) });
  await settle(500);
  expect(shown().slice(99, 102)).toEqual([2_001, "5-2001", 5]);

  const gap = stream.row(100)?.key ?? 0;
  source.respond = ({ from, to, pageToken }) => {
    const end = pageToken === "" ? to - 1 : Number(pageToken);
    const start = Math.max(from, end - 499);
    return { events: events(start, end).reverse(), nextPageToken: start > from ? String(start - 1) : "" };
  };
  await stream.loadGap(gap);
  expect(source.searches).toHaveLength(4);
  expect(shown()).toHaveLength(105 + 1_995);
});

test("a gap that cannot be loaded says why", async () => {
  source.last.push({ events: events(1, 5) });
  await settle();
  source.last.fail(new ConnectionLost("x"));
  await settle(2_000);
  source.last.push({ events: [], recentProblem: "the stored events cannot be read" });
  await settle(500);
  source.respond = () => {
    throw new StatusError("too many searches", Code.ResourceExhausted);
  };
  await stream.loadGap(stream.row(0)?.key ?? 0);
  expect(stream.row(0)).toMatchObject({ kind: "gap", state: "failed", reason: "too many searches" });
});

test("a rejected request is not repeated until the reader asks for it", async () => {
  source.last.fail(new StatusError("field: unknown", Code.InvalidArgument));
  await settle(60_000);
  expect(source.tails).toHaveLength(1);
  expect(stream.read()).toMatchObject({ phase: "failed", reason: "field: unknown" });
  stream.retry();
  await settle();
  expect(source.tails).toHaveLength(2);
});

test("attempts are further and further apart", async () => {
  for (let attempt = 0; attempt < 6; attempt += 1) {
    source.last.fail(new ConnectionLost("x"));
    await settle();
    const { retryAt = 0 } = stream.read();
    expect(retryAt - Date.now()).toBeGreaterThanOrEqual(Math.min(5_000, 250 * 2 ** attempt));
    await settle(retryAt - Date.now());
    expect(source.tails).toHaveLength(attempt + 2);
  }
});

test("a hidden tab gives its place on the server up, and comes back", async () => {
  source.last.push({ events: events(1, 5) });
  await settle();
  stream.setVisible(false);
  await settle(31_000);
  expect(stream.read().phase).toBe("suspended");
  expect(source.last.signal.aborted).toBe(true);
  stream.setVisible(true);
  await settle();
  expect(source.tails).toHaveLength(2);
  source.last.push({ events: events(4, 6) });
  await settle(500);
  expect(shown()).toEqual([6, 5, 4, 3, 2, 1]);
});

test("older events are loaded at the end, until there are none", async () => {
  source.last.push({ events: events(501, 600) });
  await settle();
  source.respond = ({ pageToken }) =>
    pageToken === ""
      ? { events: events(301, 501).reverse(), nextPageToken: "next" }
      : { events: events(299, 300).reverse(), nextPageToken: "" };
  await stream.loadOlder();
  expect(stream.read().older.state).toBe("idle");
  await stream.loadOlder();
  expect(stream.read().older.state).toBe("end");
  await stream.loadOlder();
  expect(source.searches).toHaveLength(2);
  expect(shown().at(-1)).toBe(299);
  expect(stream.read().length).toBe(302);
});

test("a held list waits", async () => {
  source.last.push({ events: events(1, 2) });
  await settle();
  stream.hold(true);
  source.last.push({ events: events(3, 5) });
  await settle(500);
  expect(shown()).toEqual([2, 1]);
  expect(stream.read().waiting).toBe(3);
  stream.hold(false);
  expect(shown()).toEqual([5, 4, 3, 2, 1]);
});

test("if the first message has no stored events, they are searched", async () => {
  source.respond = () => ({ events: events(1, 3).reverse(), nextPageToken: "" });
  source.last.push({ recentProblem: "ClickHouse has not responded within 1000 ms" });
  await settle(500);
  expect(shown()).toEqual([3, 2, 1]);
  expect(stream.read()).toMatchObject({ recentProblem: "", older: { state: "end" } });
});

test("an event that was accepted just before the connection, and not stored, is added", async () => {
  source.last.push({ events: [event(999_000)] });
  await settle();
  source.respond = () => ({ events: [event(999_800), event(999_500), event(999_000)], nextPageToken: "" });
  source.last.push({ events: [event(1_000_100)] });
  await settle(5_000);
  expect(source.searches).toMatchObject([{ from: 999_000, to: 1_000_001 }]);
  expect(shown()).toEqual([999_800, 999_500, 1_000_100, 999_000]);
});

test("a connection that is lost before such events are looked for leaves one gap, and they are looked for later", async () => {
  source.last.push({ events: events(1, 5) });
  await settle();
  source.last.fail(new ConnectionLost("x"));
  source.respond = () => {
    throw new ConnectionLost("gone");
  };
  await settle(10_000);
  expect(source.searches, "while nothing can respond").toEqual([]);
  source.last.push({ events: events(2_001, 2_100) });
  // The second of the end has events of the gap, too.
  source.respond = ({ to }) => ({
    events: to > 1_000_001 ? [] : [event(1_000_500), event(999_999)],
    nextPageToken: "",
  });
  await settle(500);
  expect(shown().slice(99)).toEqual([2_001, "5-2001", 5, 4, 3, 2, 1]);
  await settle(5_000);
  expect(source.searches).toMatchObject([
    { from: 990_000, to: 1_000_001 },
    { from: 1_000_000, to: 1_010_001 },
  ]);
  expect(shown()).toHaveLength(107);
  expect(shown()[0]).toBe(999_999);
});

test("where such events cannot be looked for, a gap is left", async () => {
  source.last.push({});
  await settle();
  source.respond = () => {
    throw new ConnectionLost("gone");
  };
  await settle(5_000);
  expect(shown()).toEqual(["990000-1000000"]);
});
