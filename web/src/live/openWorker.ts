import type { TabMessage, WorkerMessage } from "./protocol.ts";
import { sessionEpoch } from "./sessionEpoch.ts";

/** The tab's end of the connection to a worker. */
export interface WorkerPort {
  post(message: TabMessage): void;
  close(): void;
}

/**
 * `generation` counts the workers that have died: a worker that hangs must not be found again.
 * `onMessage` is called for each message of the worker.
 */
export type OpenPort = (generation: number, onMessage: (message: WorkerMessage) => void) => WorkerPort;

/** One worker for all tabs of a session. Falls back to a worker of this tab where the browser has no SharedWorker, or cannot start it. */
export const openWorker: OpenPort = (generation, onMessage) => {
  if (typeof SharedWorker === "undefined") return openDedicatedWorker(onMessage);
  const name = `millrace-${sessionEpoch()}-${generation}`;
  const shared = new SharedWorker(new URL("./worker.ts", import.meta.url), { type: "module", name });
  let fallback: WorkerPort | undefined;
  /** Until the first message of the worker: what a fallback must be told. */
  let unanswered: TabMessage[] | undefined = [];
  shared.port.onmessage = ({ data }: MessageEvent<WorkerMessage>) => {
    unanswered = undefined;
    onMessage(data);
  };
  shared.onerror = () => {
    if (!unanswered) return;
    fallback = openDedicatedWorker(onMessage);
    for (const message of unanswered) fallback.post(message);
    unanswered = undefined;
  };
  return {
    post: (message) => {
      unanswered?.push(message);
      if (fallback) fallback.post(message);
      else shared.port.postMessage(message);
    },
    close: () => {
      shared.onerror = null;
      shared.port.close();
      fallback?.close();
    },
  };
};

function openDedicatedWorker(onMessage: (message: WorkerMessage) => void): WorkerPort {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "millrace" });
  worker.onmessage = ({ data }: MessageEvent<WorkerMessage>) => onMessage(data);
  return { post: (message) => worker.postMessage(message), close: () => worker.terminate() };
}
