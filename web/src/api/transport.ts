// gRPC-Web over fetch, in binary only. The transport of connect-web can also encode messages as JSON, which adds a fifth to the
// size of the worker.

import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Transport } from "@connectrpc/connect";
import {
  createEnvelopeReadableStream,
  createMethodUrl,
  encodeEnvelope,
  runStreamingCall,
  runUnaryCall,
} from "@connectrpc/connect/protocol";
import {
  requestHeader,
  trailerFlag,
  trailerParse,
  validateResponse,
  validateTrailer,
} from "@connectrpc/connect/protocol-grpc-web";

/** The message of an error of the network, for `toFailure`. */
export const NETWORK_ERROR = "network error";

/** The server that serves the page also serves gRPC-Web, below the same path. `base` is the document's base URL. */
export function serverTransport(base: string): Transport {
  const baseUrl = new URL(".", base).href;
  return {
    unary: (method, signal, timeoutMs, header, message, contextValues = createContextValues()) =>
      runUnaryCall({
        signal,
        timeoutMs,
        req: {
          stream: false,
          service: method.parent,
          method,
          requestMethod: "POST",
          url: createMethodUrl(baseUrl, method),
          header: requestHeader(true, timeoutMs, header, false),
          contextValues,
          message,
        },
        next: async (req) => {
          const response = await post(req.url, req.header, req.signal, toBinary(method.input, req.message));
          const [first, ...others] = await collect(response.messages(method.output));
          if (!first || others.length > 0) throw new ConnectError("the response is not one message", Code.Internal);
          const { header, trailer } = response;
          return { stream: false, service: method.parent, method, header, message: first, trailer };
        },
      }),

    stream: (method, signal, timeoutMs, header, input, contextValues = createContextValues()) =>
      runStreamingCall({
        signal,
        timeoutMs,
        req: {
          stream: true,
          service: method.parent,
          method,
          requestMethod: "POST",
          url: createMethodUrl(baseUrl, method),
          header: requestHeader(true, timeoutMs, header, false),
          contextValues,
          message: input,
        },
        next: async (req) => {
          // Browsers cannot stream requests: there is one message.
          const [request] = await collect(req.message);
          if (!request) throw new ConnectError("the request has no message", Code.Internal);
          const response = await post(req.url, req.header, req.signal, toBinary(method.input, request));
          const { header, trailer } = response;
          return { ...req, header, trailer, message: response.messages(method.output) };
        },
      }),
  };
}

async function post(url: string, headers: Headers, signal: AbortSignal, message: Uint8Array) {
  const body = encodeEnvelope(0, message);
  const response = await fetch(url, { method: "POST", headers, signal, body, redirect: "error" }).catch(networkError);
  const header = response.headers;
  const { headerError } = validateResponse(response.status, header);
  if (headerError) throw headerError;
  const trailer = new Headers();

  async function* messages<Desc extends DescMessage>(schema: Desc): AsyncGenerator<MessageShape<Desc>> {
    let ended = false;
    if (response.body) {
      const reader = createEnvelopeReadableStream(response.body).getReader();
      const read = () => reader.read().catch(networkError);
      for (let next = await read(); !next.done; next = await read()) {
        const { flags, data } = next.value;
        if (flags === trailerFlag) {
          const received = trailerParse(data);
          validateTrailer(received, header);
          received.forEach((value, key) => {
            trailer.set(key, value);
          });
          ended = true;
        } else if (flags === 0) {
          yield fromBinary(schema, data);
        } else {
          throw new ConnectError("the response is compressed", Code.Internal);
        }
      }
    }
    // A connection that breaks between two messages looks like the end of the response.
    if (!ended && !header.has("grpc-status")) networkError(new TypeError("the response has no end"));
  }

  return { header, trailer, messages };
}

/** fetch rejects with a TypeError if the connection fails. Each browser has its own message. */
function networkError(error: unknown): never {
  if (error instanceof TypeError) throw new ConnectError(NETWORK_ERROR, Code.Unavailable, undefined, undefined, error);
  throw error;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
