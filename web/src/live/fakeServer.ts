// A server for tests: the real client over an in-memory transport. Tests set the responses and failures.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect";
import {
  DashboardService,
  type ListPanelsResponseSchema,
  type WatchPanelsRequest,
  type WatchPanelsResponse,
  WatchPanelsResponseSchema,
} from "../gen/millrace/v1/dashboard_pb.ts";
import { BUILT_IN_PANELS } from "./builtInPanels.ts";

type Update = MessageInitShape<typeof WatchPanelsResponseSchema>;

interface Stream {
  request: WatchPanelsRequest;
  push: (update: Update) => void;
  fail: () => void;
}

export class FakeServer {
  /** False: every call fails. */
  up = true;
  /** False: WatchPanels fails and unary calls succeed. */
  streaming = true;
  activeUsers = 0n;
  /** Events in the last week. */
  events = 1n;
  panelList: MessageInitShape<typeof ListPanelsResponseSchema> = {
    panels: BUILT_IN_PANELS.map((name) => ({ name, sql: `SELECT '${name}'`, builtIn: true })),
  };
  /** All streams opened so far, including closed ones. */
  readonly streams: Stream[] = [];
  unaryCalls = 0;
  readonly transport: Transport;

  constructor() {
    const unary = <T>(respond: () => T) => {
      return () => {
        this.unaryCalls += 1;
        if (!this.up) throw new ConnectError("connection refused", Code.Unavailable);
        return respond();
      };
    };
    this.transport = createRouterTransport(({ service }) => {
      service(DashboardService, {
        listPanels: unary(() => this.panelList),
        getActiveUsers: unary(() => ({ activeUsers: this.activeUsers, series: [{}] })),
        getErrorRate: unary(() => ({ points: [{ events: this.events }], thresholdPct: 1 })),
        getSignupFunnel: unary(() => ({})),
        getTopFeatures: unary(() => ({})),
        getLiveVisitors: unary(() => ({})),
        getTopPages: unary(() => ({})),
        getTrafficByCountry: unary(() => ({})),
        getTrafficAnomaly: unary(() => ({})),
        queryPanel: unary(() => ({ table: {} })),
        watchPanels: (request, context) => this.watch(request, context.signal),
      });
    });
  }

  get stream(): Stream {
    const last = this.streams.at(-1);
    if (!last) throw new Error("no stream is open");
    return last;
  }

  private async *watch(request: WatchPanelsRequest, signal: AbortSignal): AsyncGenerator<WatchPanelsResponse> {
    if (!this.streaming || !this.up) throw new ConnectError("WatchPanels is not implemented", Code.Unimplemented);
    const queue: Update[] = [];
    let failed = false;
    let wake = () => {};
    const stream: Stream = {
      request,
      push: (update) => {
        queue.push(update);
        wake();
      },
      fail: () => {
        failed = true;
        wake();
      },
    };
    signal.addEventListener("abort", () => wake());
    this.streams.push(stream);
    while (!signal.aborted) {
      const update = queue.shift();
      if (update) {
        yield create(WatchPanelsResponseSchema, update);
        continue;
      }
      if (failed) throw new ConnectError("connection reset", Code.Unavailable);
      await new Promise<void>((done) => {
        wake = done;
      });
    }
  }
}

export const usersUpdate = (activeUsers: bigint): Update => ({
  id: "active_users",
  panel: "active_users",
  value: { case: "activeUsers", value: { activeUsers, series: [{}] } },
});
