/** Time and timers, so that tests can control them. */
export interface Clock {
  /** Unix milliseconds. Includes the time that the computer has slept. */
  now(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** Looks the functions up at each call, because fake timers replace them. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => globalThis.setTimeout(callback, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer as number),
};

const SAMPLES = 5;

/** The server's clock minus the browser's, from heartbeats. */
export class ClockOffset {
  private samples: number[] = [];

  /** The largest of the last few samples: the one that was delayed least on its way. */
  get ms(): number {
    return this.samples.length > 0 ? Math.max(...this.samples) : 0;
  }

  add(serverTime: number, receivedAt: number): void {
    this.samples = [...this.samples, serverTime - receivedAt].slice(-SAMPLES);
  }
}
