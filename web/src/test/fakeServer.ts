// A server for tests: the real protocol in memory. Tests set the responses and failures.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createConnectRouter } from "@connectrpc/connect";
import { createAsyncIterable, createUniversalHandlerClient } from "@connectrpc/connect/protocol";
import {
  DashboardService,
  type FrameSchema,
  type ListPanelsResponseSchema,
  type QueryPanelRequest,
  type WatchPanelsRequest,
  type WatchPanelsResponse,
  WatchPanelsResponseSchema,
} from "../gen/millrace/v1/dashboard_pb.ts";
import {
  ExploreService,
  type QueryTrendRequest,
  type QueryTrendResponseSchema,
} from "../gen/millrace/v1/explore_pb.ts";
import { IngestService, type SendEventsRequest } from "../gen/millrace/v1/ingest_pb.ts";

type Update = MessageInitShape<typeof WatchPanelsResponseSchema>;
export type FrameInit = MessageInitShape<typeof FrameSchema>;

export const HEARTBEAT_MS = 5_000;

/** The connection of a request. */
interface Connection {
  broken: boolean;
}
/** The header by which a handler finds the connection of its request. */
const CONNECTION = "x-connection";

/** As in Chromium when nothing listens, or a connection breaks. */
const broken = () => new TypeError("Failed to fetch");

/** A frame whose lead figure is `value`. */
export const frameOf = (value: number, computedAt = Date.now()): FrameInit => ({
  figures: [{ label: "value", value: { case: "uint64Value", value: BigInt(value) } }],
  context: {
    rangeStart: timestampFromMs(computedAt - 3_600_000),
    rangeEnd: timestampFromMs(computedAt),
    computedAt: timestampFromMs(computedAt),
    timeZone: "UTC",
  },
});

/** A trend with one line of one bucket. */
export const trendOf = (value: number, computedAt = Date.now()): MessageInitShape<typeof QueryTrendResponseSchema> => ({
  buckets: [timestampFromMs(computedAt - 3_600_000)],
  lines: [{ values: [{ value }], total: { value } }],
  context: frameOf(value, computedAt).context,
  cost: { rowsRead: 1_000n, bytesRead: 20_000n, elapsed: { seconds: 0n, nanos: 200_000_000 } },
});

export class FakeStream {
  readonly queue: Update[] = [];
  /** `broken`: the connection is. */
  failure: ConnectError | "broken" | undefined;
  wake = () => {};

  constructor(
    readonly request: WatchPanelsRequest,
    readonly signal: AbortSignal,
    private readonly server: FakeServer,
  ) {}

  get open(): boolean {
    return !this.signal.aborted && !this.failure;
  }

  get panels(): string[] {
    return this.request.queries.map((query) => query.panel);
  }

  push(update: Update): void {
    this.queue.push(update);
    this.wake();
  }

  /** Sends a frame for the first query of the panel. */
  pushFrame(panel: string, frame: FrameInit, rest: Update = {}): void {
    this.push({ id: this.idOf(panel), panel, value: { case: "frame", value: frame }, ...rest });
  }

  /** Sends the result of the first question. */
  pushTrend(value: number, rest: Update = {}): void {
    this.push({ id: this.idOf(""), value: { case: "trend", value: trendOf(value) }, ...rest });
  }

  pushError(panel: string, code: Code, message: string): void {
    this.push({ id: this.idOf(panel), panel, error: { code, message } });
  }

  heartbeat(): void {
    const { catalogVersion, hasEvents, clockSkewMs } = this.server;
    const serverTime = timestampFromMs(Date.now() + clockSkewMs);
    this.push({ heartbeat: { serverTime, panelsVersion: catalogVersion, hasEvents } });
  }

  /** Ends the stream with the error of the server, or breaks its connection. */
  fail(error: ConnectError | "broken" = "broken"): void {
    this.failure = error;
    this.wake();
  }

  private idOf(panel: string): string {
    const query = this.request.queries.find((each) => each.panel === panel);
    if (!query) throw new Error(`the stream has no query of panel ${panel}`);
    return query.id;
  }
}

export class FakeServer {
  /** False: nothing listens. */
  up = true;
  /** True: connections are accepted, but nothing is sent. */
  frozen = false;
  /** True: a proxy holds the responses of streams back. */
  buffered = false;
  /** So many of the next streams bring nothing: their connections are dead. */
  deadStreams = 0;
  /** Set: WatchPanels and QueryPanel fail with it. */
  rejection: ConnectError | undefined;
  /** Set: QueryPanel fails for this panel. */
  readonly panelErrors = new Map<string, ConnectError>();
  /** Set: ListPanels fails with it. */
  listError: ConnectError | undefined;
  /** The calls of ListPanels so far. */
  listCalls = 0;
  /** How long QueryPanel takes. */
  latencyMs = 0;
  catalogVersion = "1";
  hasEvents = true;
  clockSkewMs = 0;
  catalog: MessageInitShape<typeof ListPanelsResponseSchema> = {
    panels: [{ name: "a" }],
    version: "1",
    hasEvents: true,
  };
  /** The lead figure of every panel, in streams and calls. */
  value = 1;
  /** All streams opened so far, including closed ones. */
  readonly streams: FakeStream[] = [];
  /** The calls of QueryPanel so far. */
  readonly polls: { at: number; request: QueryPanelRequest }[] = [];
  /** The calls of QueryTrend so far. */
  readonly trendCalls: { at: number; request: QueryTrendRequest }[] = [];
  /** Set: streams cannot compute questions. */
  exploreStale = "";
  /** Of questions in streams. */
  minInterval: { seconds: bigint } | undefined;
  readonly sentEvents: SendEventsRequest[] = [];
  concurrentPolls = 0;
  maxConcurrentPolls = 0;

  private readonly connections = new Map<string, Connection>();

  /** gRPC-Web in memory. */
  readonly fetch: typeof fetch;

  constructor() {
    const router = createConnectRouter({ connect: false, grpc: false });
    router
      .service(DashboardService, {
        listPanels: async (_, { signal, requestHeader }) => {
          this.listCalls += 1;
          await this.respond(signal, requestHeader);
          if (this.listError) throw this.listError;
          return this.catalog;
        },
        queryPanel: async (request, { signal, requestHeader }) => {
          this.polls.push({ at: Date.now(), request });
          this.concurrentPolls += 1;
          this.maxConcurrentPolls = Math.max(this.maxConcurrentPolls, this.concurrentPolls);
          try {
            if (this.latencyMs > 0) await new Promise((done) => setTimeout(done, this.latencyMs));
            await this.respond(signal, requestHeader);
            const error = this.rejection ?? this.panelErrors.get(request.panel);
            if (error) throw error;
            return { frame: frameOf(this.value) };
          } finally {
            this.concurrentPolls -= 1;
          }
        },
        watchPanels: (request, { signal, requestHeader }) => this.watch(request, signal, requestHeader),
      })
      .service(ExploreService, {
        queryTrend: async (request, { signal, requestHeader }) => {
          this.trendCalls.push({ at: Date.now(), request });
          await this.respond(signal, requestHeader);
          return trendOf(this.value);
        },
      })
      .service(IngestService, {
        sendEvents: async (request, { signal, requestHeader }) => {
          await this.respond(signal, requestHeader);
          this.sentEvents.push(request);
          return { accepted: BigInt(request.events.length) };
        },
      });
    const handle = createUniversalHandlerClient(router.handlers);
    this.fetch = async (url, { headers, body, signal } = {}) => {
      const connection: Connection = { broken: false };
      const id = String(this.connections.size);
      this.connections.set(id, connection);
      const {
        status,
        header,
        body: chunks,
      } = await handle({
        url: String(url),
        method: "POST",
        header: withHeader(headers, CONNECTION, id),
        body: createAsyncIterable([body as Uint8Array]),
        signal: signal ?? undefined,
      });
      if (connection.broken) throw broken();
      return new Response(toStream(chunks, connection), { status, headers: header });
    };
  }

  get openStreams(): FakeStream[] {
    return this.streams.filter((stream) => stream.open);
  }

  /** The newest stream. */
  get stream(): FakeStream {
    const last = this.streams.at(-1);
    if (!last) throw new Error("no stream was opened");
    return last;
  }

  /** Another catalogue, which the open streams report. */
  publish(catalog: typeof this.catalog & { version: string }): void {
    this.catalog = catalog;
    this.catalogVersion = catalog.version;
    for (const stream of this.openStreams) stream.heartbeat();
  }

  /** Ends all connections and accepts no new ones. */
  stop(): void {
    this.up = false;
    for (const stream of this.openStreams) stream.fail();
  }

  /** The browser reports it, not the server. */
  private breakConnection(header: Headers): never {
    const connection = this.connections.get(header.get(CONNECTION) ?? "");
    if (connection) connection.broken = true;
    throw new ConnectError("the connection is broken", Code.Aborted);
  }

  private async respond(signal: AbortSignal, header: Headers): Promise<void> {
    if (this.frozen) await new Promise<void>((done) => signal.addEventListener("abort", () => done()));
    if (!this.up) this.breakConnection(header);
  }

  private async *watch(
    request: WatchPanelsRequest,
    signal: AbortSignal,
    header: Headers,
  ): AsyncGenerator<WatchPanelsResponse> {
    if (!this.up) this.breakConnection(header);
    if (this.rejection) throw this.rejection;
    const stream = new FakeStream(request, signal, this);
    const dead = this.deadStreams > 0;
    if (dead) this.deadStreams -= 1;
    signal.addEventListener("abort", () => stream.wake());
    this.streams.push(stream);
    stream.heartbeat();
    for (const { id, panel, explore } of request.queries) {
      if (explore.case === undefined) stream.push({ id, panel, value: { case: "frame", value: frameOf(this.value) } });
      else if (this.exploreStale) stream.push({ id, staleReason: this.exploreStale });
      else stream.push({ id, value: { case: "trend", value: trendOf(this.value) }, minInterval: this.minInterval });
    }
    const beat = setInterval(() => stream.heartbeat(), HEARTBEAT_MS);
    try {
      while (!signal.aborted) {
        if (stream.failure === "broken") this.breakConnection(header);
        if (stream.failure) throw stream.failure;
        const update = dead || this.frozen || this.buffered ? undefined : stream.queue.shift();
        if (update) {
          yield create(WatchPanelsResponseSchema, update);
          continue;
        }
        await new Promise<void>((done) => {
          stream.wake = done;
        });
      }
    } finally {
      clearInterval(beat);
    }
  }
}

function withHeader(headers: HeadersInit | undefined, name: string, value: string): Headers {
  const all = new Headers(headers);
  all.set(name, value);
  return all;
}

function toStream(chunks: AsyncIterable<Uint8Array>, connection: Connection): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const { done, value } = await iterator.next();
    if (connection.broken) controller.error(broken());
    else if (done) controller.close();
    else controller.enqueue(value);
  };
  return new ReadableStream({ pull }, { highWaterMark: 0 });
}
