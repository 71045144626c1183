// What became of the dead letters that were replayed.

import type { DeadLetter } from "../../api/messages.ts";

export interface ReplayOutcome {
  /** Those that are gone: their events are in ClickHouse. */
  inserted: number;
  failed: DeadLetter[];
  waiting: number;
}

/** A replay resets the attempts of a batch: until its next attempt has failed, it is due and has none. */
const isDue = ({ refused, attempts, nextAttemptAt }: DeadLetter): boolean =>
  !refused && attempts === 0 && nextAttemptAt === undefined;

/** `started`: the ids of the batches; `listed`: the dead letters after the replay was requested. */
export function replayOutcome(started: readonly string[], listed: readonly DeadLetter[]): ReplayOutcome {
  const ids = new Set(started);
  const left = listed.filter(({ batchId }) => ids.has(batchId));
  const failed = left.filter((letter) => !isDue(letter));
  return { inserted: ids.size - left.length, failed, waiting: left.length - failed.length };
}
