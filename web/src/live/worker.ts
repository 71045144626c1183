// Entry of the worker: a SharedWorker for all tabs of the browser, or a dedicated Worker where there is none. The first
// message of a tab carries the base URL.

import { createDashboardApi, loadExploreApi } from "../api/dashboard.ts";
import { grpcWebClient } from "../api/grpcWeb.ts";
import { systemClock } from "./clock.ts";
import { Hub } from "./hub.ts";
import type { TabMessage, WorkerMessage } from "./protocol.ts";

/** A MessagePort, or the global scope of a dedicated worker. */
interface Port extends EventTarget {
  onmessage: ((event: MessageEvent<TabMessage>) => void) | null;
  postMessage(message: WorkerMessage): void;
}

let hub: Hub | undefined;

const createHub = (base: string): Hub =>
  new Hub({
    api: createDashboardApi(grpcWebClient(base)),
    clock: systemClock,
    random: Math.random,
    post: (tab, message) => (tab as Port).postMessage(message),
  });

/** The code for questions must be there before the server can be lost. */
const LOAD_EXPLORE_MS = 3_000;
setTimeout(() => void loadExploreApi().catch(() => {}), LOAD_EXPLORE_MS);

function serve(port: Port): void {
  port.onmessage = ({ data }) => {
    if (data.type === "hello") hub ??= createHub(data.base);
    hub?.receive(port, data);
  };
  // Sent by browsers that notice the end of a tab. Elsewhere the missing pings tell.
  port.addEventListener("close", () => hub?.disconnect(port));
}

// TypeScript's DOM library has no types for the global scope of workers.
const scope = globalThis as unknown as Port & { onconnect?: ((event: MessageEvent) => void) | null };
if ("onconnect" in scope) {
  scope.onconnect = ({ ports: [port] }) => {
    if (port) serve(port);
  };
} else {
  serve(scope);
}
