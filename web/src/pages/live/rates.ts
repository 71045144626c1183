// What of the stream is shown, by second: for the note about sampling and the line of the last minute.

export const RATE_SECONDS = 60;
/** The note is about so many of the last seconds: long enough not to flicker. */
export const SAMPLE_SECONDS = 10;

export interface Sampling {
  shown: number;
  leftOut: number;
  unexamined: number;
}

export class Rates {
  /** By second of the clock, modulo the length. */
  private readonly seconds: (Sampling & { second: number })[] = [];

  add(at: number, shown: number, leftOut: number, unexamined: number): void {
    const second = Math.floor(at / 1000);
    const slot = second % (RATE_SECONDS + 1);
    let entry = this.seconds[slot];
    if (entry?.second !== second) {
      entry = { second, shown: 0, leftOut: 0, unexamined: 0 };
      this.seconds[slot] = entry;
    }
    entry.shown += shown;
    entry.leftOut += leftOut;
    entry.unexamined += unexamined;
  }

  private of(second: number): Sampling | undefined {
    const entry = this.seconds[second % (RATE_SECONDS + 1)];
    return entry?.second === second ? entry : undefined;
  }

  /** Of the last complete seconds. */
  sampling(now: number): Sampling {
    const sum = { shown: 0, leftOut: 0, unexamined: 0 };
    const current = Math.floor(now / 1000);
    for (let second = current - SAMPLE_SECONDS; second <= current; second += 1) {
      const entry = this.of(second);
      if (!entry) continue;
      sum.shown += entry.shown;
      sum.leftOut += entry.leftOut;
      sum.unexamined += entry.unexamined;
    }
    return sum;
  }

  /** Matching events of each of the last complete seconds, the oldest first: those since `since`, when counting began. */
  perSecond(now: number, since: number): number[] {
    const current = Math.floor(now / 1000);
    const first = Math.max(current - RATE_SECONDS, Math.ceil(since / 1000));
    return Array.from({ length: Math.max(0, current - first) }, (_, i) => {
      const entry = this.of(first + i);
      return entry ? entry.shown + entry.leftOut : 0;
    });
  }

  clear(): void {
    this.seconds.length = 0;
  }
}

/** "1 of 20": how many matching events one that is shown stands for. 1 if most of them are shown. */
export const oneOf = ({ shown, leftOut }: Sampling): number =>
  shown === 0 ? 0 : Math.round((shown + leftOut) / shown);

/** Of the matching events, in percent. Never 100 if any is left out. */
export const shownPercent = ({ shown, leftOut }: Sampling): number =>
  leftOut === 0 ? 100 : Math.min(99, Math.round((100 * shown) / (shown + leftOut)));
