// gRPC-Web over fetch: in binary, without compression, one request per call.

import { decode, encode, type Init, type Schema, schema } from "./codec.ts";
import { Code, ConnectionLost, StatusError } from "./status.ts";

export interface Method<Request, Response, Kind extends "unary" | "stream" = "unary" | "stream"> {
  /** Service and name, without a leading slash. */
  path: string;
  request: Schema<Request>;
  response: Schema<Response>;
  kind: Kind;
}

export interface CallOptions {
  signal: AbortSignal;
  timeoutMs?: number;
}

export interface GrpcWebClient {
  unary<Request, Response>(
    method: Method<Request, Response>,
    request: Init<Request>,
    options: CallOptions,
  ): Promise<Response>;
  stream<Request, Response>(
    method: Method<Request, Response>,
    request: Init<Request>,
    options: CallOptions,
  ): AsyncGenerator<Response>;
}

/** The message of an error that the server has not sent, for `toFailure`. */
export const OWN_DEADLINE = "the operation timed out";

const ENVELOPE_HEADER = 5;
const TRAILER_FLAG = 0x80;

/** The server that serves the page also serves gRPC-Web, below the same path. `base` is the document's base URL. */
export function grpcWebClient(base: string, send: typeof fetch = (...request) => fetch(...request)): GrpcWebClient {
  async function* stream<Request, Response>(
    { path, request: input, response: output }: Method<Request, Response>,
    message: Init<Request>,
    { signal, timeoutMs }: CallOptions,
  ): AsyncGenerator<Response> {
    const abort = new AbortController();
    const cancel = () => abort.abort();
    let late = false;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            cancel();
          }, timeoutMs);
    signal.addEventListener("abort", cancel);
    if (signal.aborted) cancel();
    const headers = new Headers({ "content-type": "application/grpc-web+proto", "x-grpc-web": "1" });
    if (timeoutMs !== undefined) headers.set("grpc-timeout", `${timeoutMs}m`);
    try {
      const body = envelope(encode(input, message));
      const url = new URL(path, new URL(".", base));
      const request = { method: "POST", headers, body, signal: abort.signal, redirect: "error" } as const;
      const response = await send(url, request).catch(connectionLost);
      checkHttpStatus(response.status);
      checkContentType(response);
      for await (const bytes of messages(response)) yield decode(output, bytes);
    } catch (error) {
      if (late) throw new StatusError(OWN_DEADLINE, Code.DeadlineExceeded);
      if (signal.aborted) throw new StatusError("the call was cancelled", Code.Canceled);
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
      // The caller may have left before the end of the response.
      cancel();
    }
  }

  return {
    stream,
    unary: async (method, request, options) => {
      const responses = [];
      for await (const response of stream(method, request, options)) responses.push(response);
      const [response] = responses;
      if (!response || responses.length > 1) throw new StatusError("the response is not one message", Code.Internal);
      return response;
    },
  };
}

function connectionLost(error: Error): never {
  throw new ConnectionLost(error.message);
}

function envelope(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ENVELOPE_HEADER + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, ENVELOPE_HEADER);
  return bytes;
}

/** The messages of a response. Throws unless it ends with the status OK. */
async function* messages({ headers, body }: Response): AsyncGenerator<Uint8Array> {
  checkStatus(headers);
  let ended = headers.has("grpc-status");
  for await (const { flags, data } of envelopes(body)) {
    if (flags === TRAILER_FLAG) {
      checkStatus(parseTrailers(data));
      ended = true;
    } else if (flags === 0) {
      yield data;
    } else {
      throw new StatusError("the response is compressed", Code.Internal);
    }
  }
  // A connection that breaks between two messages looks like the end of the response.
  if (!ended) throw new ConnectionLost("the response has no end");
}

async function* envelopes(
  body: ReadableStream<Uint8Array> | null,
): AsyncGenerator<{ flags: number; data: Uint8Array }> {
  const reader = body?.getReader();
  let buffered = new Uint8Array();
  for (;;) {
    while (buffered.length >= ENVELOPE_HEADER) {
      const end = ENVELOPE_HEADER + new DataView(buffered.buffer, buffered.byteOffset).getUint32(1);
      if (buffered.length < end) break;
      yield { flags: buffered[0] ?? 0, data: buffered.subarray(ENVELOPE_HEADER, end) };
      buffered = buffered.subarray(end);
    }
    const next = await reader?.read().catch(connectionLost);
    if (!next || next.done) break;
    const joined = new Uint8Array(buffered.length + next.value.length);
    joined.set(buffered);
    joined.set(next.value, buffered.length);
    buffered = joined;
  }
  if (buffered.length > 0) throw new ConnectionLost("the response ends within a message");
}

/** Lines of names and values, like the header of HTTP/1. */
function parseTrailers(data: Uint8Array): Headers {
  const trailers = new Headers();
  for (const line of new TextDecoder().decode(data).split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) trailers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return trailers;
}

const ANY = schema<{ typeUrl: string; value: Uint8Array }>({ 1: ["typeUrl", "string"], 2: ["value", "bytes"] });
/** google.rpc.Status. */
const STATUS = schema<{ code: number; message: string; details: { typeUrl: string; value: Uint8Array }[] }>({
  1: ["code", "int32"],
  2: ["message", "string"],
  3: ["details", () => ANY, "repeated"],
});

function checkStatus(headers: Headers): void {
  const code = Number(headers.get("grpc-status") ?? 0);
  if (code === 0) return;
  const encoded = headers.get("grpc-status-details-bin");
  const details = encoded ? decode(STATUS, fromBase64(encoded)).details : [];
  throw new StatusError(
    decodeMessage(headers.get("grpc-message") ?? ""),
    code,
    details.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value })),
  );
}

const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** Percent-encoded, unless a proxy has written it. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A proxy may respond with a page of its own, for example to sign in. */
function checkContentType({ status, headers }: Response): void {
  if (headers.get("content-type")?.startsWith("application/grpc-web")) return;
  throw new StatusError(`HTTP ${status} is not gRPC-Web`, Code.Unknown);
}

/** As in the gRPC specification. Such a response comes from a proxy, or from a server that is not Millrace. */
function checkHttpStatus(status: number): void {
  if (status >= 200 && status < 300) return;
  const codes: Record<number, Code> = {
    400: Code.Internal,
    401: Code.Unauthenticated,
    403: Code.PermissionDenied,
    404: Code.Unimplemented,
    429: Code.Unavailable,
    502: Code.Unavailable,
    503: Code.Unavailable,
    504: Code.Unavailable,
  };
  throw new StatusError(`HTTP ${status}`, codes[status] ?? Code.Unknown);
}
