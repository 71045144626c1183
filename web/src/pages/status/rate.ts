// Events per second from successive reports of a counter. A report comes when something has changed: silence means none.

export interface Sample {
  /** Unix milliseconds. */
  at: number;
  count: number;
}

export const WINDOW_SECONDS = 60;

/** The samples that the rates of the window need: the last one before it as well. A restarted server counts from zero. */
export function addSample(samples: Sample[], added: Sample): Sample[] {
  const last = samples.at(-1);
  if (last && added.count < last.count) return [added];
  const all = [...samples, added];
  const begin = added.at - (WINDOW_SECONDS + 1) * 1_000;
  const first = all.findLastIndex(({ at }) => at <= begin);
  return all.slice(Math.max(0, first));
}

/** The count at a time, between reports as if events had come evenly; undefined before the first report. */
function countAt(samples: Sample[], at: number): number | undefined {
  const index = samples.findLastIndex((sample) => sample.at <= at);
  const before = samples[index];
  const after = samples[index + 1];
  if (!before) return undefined;
  // A report covers the second before it. Before that, nothing had changed.
  if (!after || at <= after.at - 1_000) return before.count;
  const begin = Math.max(before.at, after.at - 1_000);
  return before.count + ((after.count - before.count) * (at - begin)) / (after.at - begin);
}

/** Events of each second, the oldest first. Null before the first report. */
export function ratesPerSecond(samples: Sample[], now: number): (number | null)[] {
  return Array.from({ length: WINDOW_SECONDS }, (_, index) => {
    const end = now - (WINDOW_SECONDS - 1 - index) * 1_000;
    const from = countAt(samples, end - 1_000);
    const to = countAt(samples, end);
    return from === undefined || to === undefined ? null : Math.max(0, to - from);
  });
}

/** The mean of the last seconds. Undefined before two seconds are known. */
export function currentRate(rates: (number | null)[], seconds = 10): number | undefined {
  const known = rates.slice(-seconds).filter((rate) => rate !== null);
  return known.length < 2 ? undefined : known.reduce((sum, rate) => sum + rate, 0) / known.length;
}
