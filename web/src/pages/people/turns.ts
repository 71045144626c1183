/** Runs a few tasks at a time, the others in the order in which they came. */
export class Turns {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly limit: number) {}

  /** A task whose signal is aborted before its turn does not run. */
  async run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.running >= this.limit) await new Promise<void>((done) => this.waiting.push(done));
    else this.running += 1;
    try {
      signal.throwIfAborted();
      return await task();
    } finally {
      // The next one takes the place over.
      const next = this.waiting.shift();
      if (next) next();
      else this.running -= 1;
    }
  }
}
