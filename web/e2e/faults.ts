// A reverse proxy between page and server that produces the faults of real networks and proxies. It speaks HTTP/1.1, as
// browsers do without TLS. Faults apply to requests that arrive after the call; `halfOpen` applies to open connections.

import { createServer, type IncomingMessage, request as openRequest, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** A method of DashboardService. */
export type Method = "WatchPanels" | "ListPanels" | "QueryPanel" | (string & {});

/** A gRPC status, for example 7: PERMISSION_DENIED. */
export interface Status {
  code: number;
  message: string;
}

export interface Faults {
  /** Delay before a request is forwarded. */
  delayMs?: number;
  /** Holds the response back until it has ended, as nginx does with `proxy_buffering on`. */
  buffer?: boolean;
  /** Responds with this status instead of forwarding. */
  fail?: Status;
}

export interface FaultProxy {
  /** The page is opened here. */
  readonly url: string;
  /** Sets the faults of a method's future calls; `{}` removes them. */
  set(method: Method, faults: Faults): void;
  /** How many calls of a method have arrived. */
  calls(method: Method): number;
  /** How many calls of a method are in progress on connections that work. */
  active(method: Method): number;
  /** Bytes of the response bodies, as sent to the browser, of the paths that end so. */
  bodyBytes(suffix: string): number;
  /** The open connections, and with `including: "new"` also all later ones, swallow bytes both ways and stay open. */
  halfOpen(including?: "new"): void;
  /** Closes all connections and refuses new ones. */
  refuse(): Promise<void>;
  /** Ends `halfOpen` for new connections, and `refuse`. Connections that are half-open stay so. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

export interface ProxyOptions {
  /** JavaScript that runs before each script of the page, its workers included. */
  prepend?: string;
  /** A slow link: the bytes per second of all responses together, and the delay of each request. */
  link?: { bytesPerSecond: number; latencyMs: number };
}

const LINK_CHUNK_BYTES = 4_096;

export async function startProxy(target: string, { prepend, link }: ProxyOptions = {}): Promise<FaultProxy> {
  const upstream = new URL(target);
  const faults = new Map<string, Faults>();
  const calls = new Map<string, number>();
  /** By path. */
  const bodyBytes = new Map<string, number>();
  const inProgress = new Set<{ method: string; socket: Socket }>();
  const sockets = new Set<Socket>();
  /** Sockets that swallow bytes. */
  const dead = new Set<Socket>();
  let swallowNew = false;
  /** When the link has transferred what was written so far. */
  let linkIsFreeAt = 0;

  const swallow = (socket: Socket) => {
    dead.add(socket);
    socket.pause();
  };

  /** Writes to a working connection, at the speed of the link. */
  async function write(response: ServerResponse, path: string, bytes: Buffer): Promise<void> {
    const socket = response.req.socket;
    bodyBytes.set(path, (bodyBytes.get(path) ?? 0) + bytes.length);
    for (let start = 0; start < bytes.length; start += link ? LINK_CHUNK_BYTES : bytes.length) {
      const chunk = link ? bytes.subarray(start, start + LINK_CHUNK_BYTES) : bytes;
      if (link) {
        linkIsFreeAt = Math.max(linkIsFreeAt, performance.now()) + (chunk.length / link.bytesPerSecond) * 1000;
        await delay(linkIsFreeAt - performance.now());
      }
      if (!dead.has(socket) && !socket.destroyed) response.write(chunk);
    }
  }

  async function forward(from: IncomingMessage, to: ServerResponse): Promise<void> {
    const url = from.url ?? "/";
    const path = url.split("?")[0] ?? "/";
    const method = path.split("/").at(-1) ?? "";
    const { delayMs = 0, buffer = false, fail } = faults.get(method) ?? {};
    calls.set(method, (calls.get(method) ?? 0) + 1);
    const call = { method, socket: from.socket };
    inProgress.add(call);
    const closed = new AbortController();
    to.once("close", () => {
      inProgress.delete(call);
      closed.abort();
    });
    await delay(delayMs + (link?.latencyMs ?? 0), undefined, { signal: closed.signal });
    if (fail) {
      const headers = {
        "content-type": "application/grpc-web+proto",
        "grpc-status": String(fail.code),
        "grpc-message": encodeURIComponent(fail.message),
      };
      to.writeHead(200, headers).end();
      return;
    }
    const rewrite = prepend !== undefined && path.endsWith(".js");
    const headers = { ...from.headers };
    if (rewrite) delete headers["accept-encoding"];
    const { hostname, port } = upstream;
    const sent = openRequest({ hostname, port, path: url, method: from.method, headers, signal: closed.signal });
    from.pipe(sent);
    const answer = await new Promise<IncomingMessage>((done, failed) =>
      sent.once("response", done).on("error", failed),
    );
    const answerHeaders = { ...answer.headers };
    if (rewrite) delete answerHeaders["content-length"];
    const start = () => {
      if (dead.has(from.socket)) return;
      to.writeHead(answer.statusCode ?? 502, answerHeaders);
      to.flushHeaders();
    };
    const held: Buffer[] = [];
    if (!buffer) start();
    if (rewrite) await write(to, path, Buffer.from(`${prepend};\n`));
    for await (const chunk of answer) {
      if (buffer) held.push(chunk);
      else await write(to, path, chunk);
    }
    if (buffer) {
      start();
      await write(to, path, Buffer.concat(held));
    }
    if (!dead.has(from.socket)) to.end();
  }

  const server = createServer((from, to) => {
    // Either side has closed the connection: the other one sees the same.
    forward(from, to).catch(() => to.destroy());
  });
  server.keepAliveTimeout = 60_000;
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    if (swallowNew) swallow(socket);
  });
  const listen = (port: number) => new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  const stop = async () => {
    if (!server.listening) return;
    const closed = new Promise((done) => server.close(done));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    set: (method, wanted) => faults.set(method, wanted),
    calls: (method) => calls.get(method) ?? 0,
    bodyBytes: (suffix) => [...bodyBytes].reduce((sum, [path, bytes]) => sum + (path.endsWith(suffix) ? bytes : 0), 0),
    active: (method) => [...inProgress].filter((call) => call.method === method && !dead.has(call.socket)).length,
    halfOpen(including) {
      swallowNew = including === "new";
      for (const socket of sockets) swallow(socket);
    },
    refuse: stop,
    async restore() {
      swallowNew = false;
      if (!server.listening) await listen(port);
    },
    close: stop,
  };
}
