// The real protocol over loopback: a gRPC-Web server of connect-node, below a sub-path.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DashboardService } from "../gen/millrace/v1/dashboard_pb.ts";
import { frameOf } from "../test/fakeServer.ts";
import { createDashboardApi, type DashboardApi, type WatchEvent } from "./dashboard.ts";
import { toFailure } from "./errors.ts";
import { grpcWebClient } from "./grpcWeb.ts";

let server: Server;
let base: string;
let api: DashboardApi;
/** Resolved when the server notices that a stream was aborted. */
let aborted: Promise<void>;

const query = (panel: string) => ({ panel, range: "1h", zone: "UTC" }) as const;
const never = new AbortController().signal;

beforeAll(async () => {
  let noticeAbort = () => {};
  aborted = new Promise((done) => {
    noticeAbort = done;
  });
  const handler = connectNodeAdapter({
    requestPathPrefix: "/tools/millrace",
    routes: ({ service }) =>
      service(DashboardService, {
        listPanels: () => ({ panels: [{ name: "a" }], version: "7" }),
        queryPanel: async ({ panel }, { signal }) => {
          if (panel === "slow") await new Promise((done) => signal.addEventListener("abort", done));
          const detail = { desc: DurationSchema, value: create(DurationSchema, { seconds: 1n }) };
          if (panel === "busy") throw new ConnectError("zu viel: 100 %", Code.ResourceExhausted, undefined, [detail]);
          return { frame: frameOf(3) };
        },
        async *watchPanels({ queries }, { signal }) {
          const id = queries[0]?.id ?? "";
          yield { heartbeat: { serverTime: { seconds: 5n }, panelsVersion: "7", hasEvents: true } };
          yield { id, value: { case: "frame" as const, value: frameOf(1) } };
          if (queries[0]?.panel === "failing") throw new ConnectError("ClickHouse is unreachable", Code.Unavailable);
          if (queries[0]?.panel === "cut") server.closeAllConnections();
          signal.addEventListener("abort", noticeAbort);
          if (!signal.aborted) await new Promise((done) => signal.addEventListener("abort", done));
        },
      }),
  });
  server = createServer(handler);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tools/millrace/`;
  api = createDashboardApi(grpcWebClient(base));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

async function events(panel: string, until: (event: WatchEvent) => boolean): Promise<WatchEvent[]> {
  const control = new AbortController();
  const list: WatchEvent[] = [];
  for await (const event of api.watch([query(panel)], control.signal)) {
    list.push(event);
    if (until(event)) break;
  }
  control.abort();
  return list;
}

test("calls go below the path of the document", async () => {
  expect(await api.listPanels(never)).toMatchObject({ version: "7" });
  const deeper = createDashboardApi(grpcWebClient(`${base}index.html?range=1h#top`));
  expect(await deeper.query(query("a"), never)).toMatchObject({ figures: [{ value: 3 }] });
});

test("errors keep code, message and details", async () => {
  const failure = await api.query(query("busy"), never).catch(toFailure);
  expect(failure).toMatchObject({ kind: "transient", reason: "zu viel: 100 %", responded: true });
});

test("another path has no such call", async () => {
  const wrong = createDashboardApi(grpcWebClient(new URL("/other/", base).href));
  const failure = await wrong.listPanels(never).catch(toFailure);
  expect(failure).toMatchObject({ kind: "permanent", reason: "the server does not offer this call (HTTP 404)" });
});

test("a port where nothing listens cannot be reached", async () => {
  const unused = createServer();
  await new Promise<void>((done) => unused.listen(0, "127.0.0.1", done));
  const { port } = unused.address() as AddressInfo;
  await new Promise((done) => unused.close(done));
  const failure = await createDashboardApi(grpcWebClient(`http://127.0.0.1:${port}/`))
    .listPanels(never)
    .catch(toFailure);
  expect(failure).toMatchObject({ kind: "transient", responded: false });
});

test("a call can be aborted", async () => {
  const control = new AbortController();
  const call = api.query(query("slow"), control.signal).catch(toFailure);
  control.abort();
  expect(await call).toMatchObject({ kind: "transient" });
});

test("a stream brings its messages, and the server notices when it is aborted", async () => {
  expect(await events("a", (event) => event.type === "update")).toMatchObject([
    { type: "heartbeat", serverTime: 5_000, catalogVersion: "7", hasEvents: true },
    { type: "update", key: "a?range=1h&zone=UTC", frame: { figures: [{ value: 1 }] } },
  ]);
  await aborted;
});

test("a stream ends with the error of the server", async () => {
  const failure = await events("failing", () => false).catch(toFailure);
  expect(failure).toMatchObject({ kind: "transient", reason: "ClickHouse is unreachable", responded: true });
});

test("a stream whose connection is cut fails", async () => {
  const failure = await events("cut", () => false).catch(toFailure);
  expect(failure).toMatchObject({ kind: "transient", responded: false });
});

// Responses that this server never sends: a proxy does, or the network.
const message = [0, 0, 0, 0, 3, 26, 1, 55];
const trailers = (text: string) => [0x80, 0, 0, 0, text.length, ...new TextEncoder().encode(text)];
const GRPC_WEB = { "content-type": "application/grpc-web+proto" };
const respond = (chunks: number[][], init: ResponseInit = { headers: GRPC_WEB }) =>
  createDashboardApi(
    grpcWebClient("http://127.0.0.1/", async () => {
      const body = new ReadableStream<Uint8Array>({
        start: (stream) => {
          for (const chunk of chunks) stream.enqueue(Uint8Array.from(chunk));
          stream.close();
        },
      });
      return new Response(body, init);
    }),
  ).listPanels(never);

test("a response may arrive in pieces of any size", async () => {
  const bytes = [...message, ...trailers("grpc-status: 0\r\n")];
  expect(await respond(bytes.map((byte) => [byte]))).toMatchObject({ version: "7" });
  expect(await respond([bytes])).toMatchObject({ version: "7" });
});

test.each<[string, number[][], ResponseInit | undefined, object]>([
  ["ends without a status", [message], undefined, { kind: "transient", responded: false }],
  ["ends within a message", [message.slice(0, 6)], undefined, { kind: "transient", responded: false }],
  [
    "is a page of a proxy",
    [[...new TextEncoder().encode("<!doctype html><title>Sign in</title>")]],
    { headers: { "content-type": "text/html" } },
    { kind: "transient", responded: true, reason: "HTTP 200 is not gRPC-Web" },
  ],
  ["has a malformed message", [[0, 0, 0, 0, 1, 255]], undefined, { kind: "transient", responded: true }],
  ["has no message", [trailers("grpc-status: 0\r\n")], undefined, { reason: "the response is not one message" }],
  [
    "has its status in the header",
    [],
    { headers: { ...GRPC_WEB, "grpc-status": "7", "grpc-message": "no%20access 100%" } },
    { kind: "permanent", rejectsPage: true, reason: "no%20access 100%" },
  ],
  ["is an error of a gateway", [], { status: 503 }, { kind: "transient", responded: false }],
])("a response that %s is a failure", async (_, chunks, init, expected) => {
  expect(await respond(chunks, init).catch(toFailure)).toMatchObject(expected);
});

test.each(["Failed to fetch", "NetworkError when attempting to fetch resource.", "Load failed"])(
  "the browser's error %o means that the server cannot be reached, before and during a response",
  async (message) => {
    const before = grpcWebClient("http://127.0.0.1/", () => Promise.reject(new TypeError(message)));
    const broken = new ReadableStream({ pull: () => Promise.reject(new TypeError(message)) });
    const during = grpcWebClient("http://127.0.0.1/", async () => new Response(broken, { headers: GRPC_WEB }));
    for (const client of [before, during]) {
      const failure = await createDashboardApi(client).listPanels(never).catch(toFailure);
      expect(failure).toMatchObject({ reason: "the server cannot be reached", responded: false });
    }
  },
);

test("a defect of the page's code while it decodes is not a lost connection", async () => {
  const broken = new Response(null, { headers: GRPC_WEB });
  Object.defineProperty(broken, "body", { get: () => ({ getReader: () => ({}) }) });
  const client = grpcWebClient("http://127.0.0.1/", async () => broken);
  const failure = await createDashboardApi(client).listPanels(never).catch(toFailure);
  expect(failure).toMatchObject({ reason: expect.stringContaining("not a function"), responded: true });
});
