// Calls of any method of the contract, from a tab or a worker. The methods are in methods.ts, the messages in messages.ts.
//
// Requests carry the cookie of the session, which also names the project. There is no header against forged requests: the
// server rejects requests of other origins by `Origin` and `Sec-Fetch-Site`, which browsers set themselves.

import type { Init } from "./codec.ts";
import { type GrpcWebClient, grpcWebClient, type Method } from "./grpcWeb.ts";

/** Deadline of unary calls: the server ends queries within its own budget well before that. */
export const UNARY_TIMEOUT_MS = 60_000;

const never = new AbortController().signal;

let client: GrpcWebClient | undefined;

/** Replaces the client that talks to the server of the document. For workers, which have no document, and for tests. */
export function setClient(other: GrpcWebClient | undefined): void {
  client = other;
}

function current(): GrpcWebClient {
  client ??= grpcWebClient(document.baseURI);
  return client;
}

/** One request, one response. Rejects with a `StatusError` or `ConnectionLost`: `toFailure` has words for people. */
export const call = <Request, Response>(
  method: Method<Request, Response, "unary">,
  request: Init<Request>,
  signal: AbortSignal = never,
  timeoutMs = UNARY_TIMEOUT_MS,
): Promise<Response> => current().unary(method, request, { signal, timeoutMs });

/** One request, any number of responses. Ends when the server ends it; leaving the loop or the signal cancels it. */
export const stream = <Request, Response>(
  method: Method<Request, Response, "stream">,
  request: Init<Request>,
  signal: AbortSignal = never,
): AsyncGenerator<Response> => current().stream(method, request, { signal });
