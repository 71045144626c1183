// A server for the tests of pages: unary calls and one kind of stream, in the types of the page.

import { setClient } from "../../api/client.ts";
import type { GrpcWebClient } from "../../api/grpcWeb.ts";
import type { AcceptedEvent, Init, TailEventsRequest, TailEventsResponse } from "../../api/messages.ts";
import { toTimestamp } from "../../api/messages.ts";
import { Code, ConnectionLost, StatusError } from "../../api/status.ts";
import { queryClient } from "../../live/useCall.ts";

type Handler = (request: never) => unknown;

interface Tail {
  request: Init<TailEventsRequest>;
  push: (message: Partial<TailEventsResponse>) => void;
  fail: (error: unknown) => void;
  closed: () => boolean;
}

export const accepted = (at: number, change: Partial<AcceptedEvent> = {}): AcceptedEvent =>
  ({
    eventId: `id-${at}`,
    eventName: "page_view",
    timestamp: toTimestamp(at),
    receivedAt: toTimestamp(at + 12),
    sessionId: `session-${at}`,
    deviceType: "mobile",
    countryCode: "ES",
    propertiesJson: '{"page_url":"/pricing","plan":"pro"}',
    ...change,
  }) as AcceptedEvent;

export class FakeClient implements GrpcWebClient {
  readonly handlers = new Map<string, Handler>();
  readonly requests: { path: string; request: Record<string, unknown> }[] = [];
  readonly tails: Tail[] = [];

  install(): this {
    queryClient().clear();
    setClient(this);
    return this;
  }

  on<Request>(
    method: { path: string; request?: { type?: Request } },
    handler: (request: Init<Request>) => unknown,
  ): this {
    this.handlers.set(method.path, handler as Handler);
    return this;
  }

  requestsOf(method: { path: string }): Record<string, unknown>[] {
    return this.requests.filter(({ path }) => path === method.path).map(({ request }) => request);
  }

  /** The newest tail that is open. */
  get tail(): Tail {
    const tail = this.tails.findLast((each) => !each.closed());
    if (!tail) throw new Error("no tail is open");
    return tail;
  }

  unary: GrpcWebClient["unary"] = async ({ path }, request) => {
    this.requests.push({ path, request: request as Record<string, unknown> });
    const handler = this.handlers.get(path);
    if (!handler) throw new StatusError(`${path} is not expected`, Code.Unimplemented);
    return handler(request as never) as never;
  };

  stream: GrpcWebClient["stream"] = async function* (
    this: FakeClient,
    _: unknown,
    request: unknown,
    { signal }: { signal: AbortSignal },
  ) {
    const queue: (Partial<TailEventsResponse> | { error: unknown })[] = [];
    let wake = () => {};
    const add = (item: (typeof queue)[number]) => {
      queue.push(item);
      wake();
    };
    this.tails.push({
      request: request as Init<TailEventsRequest>,
      push: (message) => add({ events: [], skipped: 0n, unexamined: 0n, recentProblem: "", ...message }),
      fail: (error) => add({ error }),
      closed: () => signal.aborted,
    });
    signal.addEventListener("abort", () => wake());
    while (!signal.aborted) {
      const item = queue.shift();
      if (item && "error" in item) throw item.error;
      if (item) yield item;
      else
        await new Promise<void>((done) => {
          wake = done;
        });
    }
    throw new ConnectionLost("aborted");
  }.bind(this) as GrpcWebClient["stream"];
}
