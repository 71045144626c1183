// The age of the oldest event that has not landed in ClickHouse, and whether it grows.

export interface LagSample {
  /** Unix milliseconds, by the server's clock. */
  at: number;
  /** When the oldest event that has not landed was received. Undefined: all have landed. */
  oldest: number | undefined;
}

export type LagMood = "none" | "usual" | "late" | "danger";

export interface Lag {
  /** In milliseconds. */
  age: number;
  mood: LagMood;
  trend: "growing" | "falling" | "steady";
}

/** Events land within seconds; whoever looks at panels notices more than ten. */
const LATE_MS = 10_000;
const DANGER_MS = 60_000;
/** The trend is that of this time, and smaller changes are none. */
const TREND_MS = 10_000;
const CHANGE_MS = 3_000;

/** The samples that the trend needs: those of its time, and the last one before it. */
export function addLag(samples: LagSample[], added: LagSample): LagSample[] {
  const all = [...samples, added];
  const first = all.findLastIndex(({ at }) => at <= added.at - TREND_MS);
  return all.slice(Math.max(0, first));
}

/** Silence means that nothing has changed, so that the age grows with the time. Undefined before the first report. */
function ageAt(samples: LagSample[], at: number): number | undefined {
  const sample = samples.findLast((each) => each.at <= at);
  if (!sample) return undefined;
  return sample.oldest === undefined ? 0 : Math.max(0, at - sample.oldest);
}

export function lagOf(samples: LagSample[], now: number): Lag {
  const last = samples.at(-1);
  // The clocks may differ by less than a second.
  const age = ageAt(samples, Math.max(now, last?.at ?? now)) ?? 0;
  if (last?.oldest === undefined) return { age: 0, mood: "none", trend: "steady" };
  const change = age - (ageAt(samples, now - TREND_MS) ?? age);
  return {
    age,
    mood: age < LATE_MS ? "usual" : age < DANGER_MS ? "late" : "danger",
    trend: change > CHANGE_MS ? "growing" : change < -CHANGE_MS ? "falling" : "steady",
  };
}
