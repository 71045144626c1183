// Keeps the tab connected to a worker: tells it that the tab is alive and whether it is visible, and replaces a worker that
// has died.

import type { OpenPort, WorkerPort } from "./openWorker.ts";
import type { TabMessage, WorkerMessage } from "./protocol.ts";

export const PING_MS = 5_000;
/** A worker that leaves this many pings unanswered has died. Counted, because a suspended tab sends none. */
export const UNANSWERED_PINGS = 3;
/** Before its first message a worker may still load its script, which takes long on a slow link. */
export const UNANSWERED_FIRST_PINGS = 12;

export interface WorkerLinkHandlers {
  onMessage: (message: WorkerMessage) => void;
  /** The worker does not know what the tab watches. */
  onForgotten: () => void;
  /** The worker has been replaced: it does not respond to what was sent before. */
  onReplaced: () => void;
}

export class WorkerLink {
  private port: WorkerPort | undefined;
  private generation = 0;
  private unanswered = 0;
  /** Whether the worker has sent anything. */
  private heard = false;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly openPort: OpenPort,
    private readonly handlers: WorkerLinkHandlers,
  ) {}

  start(): void {
    this.open();
    document.addEventListener("visibilitychange", this.visibilityChanged);
    window.addEventListener("pagehide", this.leave);
    window.addEventListener("pageshow", this.show);
    window.addEventListener("online", this.online);
  }

  stop(): void {
    this.leave();
    document.removeEventListener("visibilitychange", this.visibilityChanged);
    window.removeEventListener("pagehide", this.leave);
    window.removeEventListener("pageshow", this.show);
    window.removeEventListener("online", this.online);
  }

  post(message: TabMessage): void {
    this.port?.post(message);
  }

  private open(): void {
    this.unanswered = 0;
    this.heard = false;
    const port = this.openPort(this.generation, (message) => {
      if (port === this.port) this.receive(message);
    });
    this.port = port;
    port.post({ type: "hello", base: document.baseURI });
    this.visibilityChanged();
    this.handlers.onForgotten();
  }

  private receive(message: WorkerMessage): void {
    this.unanswered = 0;
    this.heard = true;
    if (message.type !== "pong") this.handlers.onMessage(message);
    else if (!message.known) this.handlers.onForgotten();
  }

  private readonly visibilityChanged = (): void => {
    clearInterval(this.timer);
    this.unanswered = 0;
    if (document.visibilityState === "hidden") {
      this.post({ type: "ping", visible: false });
      return;
    }
    this.ping();
    this.timer = setInterval(() => this.ping(), PING_MS);
  };

  private ping(): void {
    if (this.unanswered >= (this.heard ? UNANSWERED_PINGS : UNANSWERED_FIRST_PINGS)) {
      this.replace();
      return;
    }
    this.unanswered += 1;
    this.post({ type: "ping", visible: true });
  }

  /** Says goodbye, because a worker that was only slow must not serve the tab as well. */
  private replace(): void {
    this.leave();
    this.generation += 1;
    this.open();
    this.handlers.onReplaced();
  }

  private close(): void {
    clearInterval(this.timer);
    this.port?.close();
    this.port = undefined;
  }

  /** The page may come back from the back/forward cache, so everything can be opened again. */
  private readonly leave = (): void => {
    this.post({ type: "bye" });
    this.close();
  };

  private readonly show = (event: PageTransitionEvent): void => {
    if (!event.persisted) return;
    this.open();
    this.handlers.onReplaced();
  };

  /** A hidden tab needs nothing until it is shown. */
  private readonly online = (): void => {
    if (document.visibilityState === "visible") this.post({ type: "online" });
  };
}
