import { expect, test } from "vitest";
import { type DeadLetter, toTimestamp } from "../../api/messages.ts";
import { replayOutcome } from "./replay.ts";

const letter = (batchId: string, change: object = {}) =>
  ({ batchId, events: 10n, reason: "no space", refused: false, attempts: 0, ...change }) as unknown as DeadLetter;

test("batches that are gone were inserted, those with an attempt failed again, the others wait", () => {
  const outcome = replayOutcome(
    ["a", "b", "c", "d", "e"],
    [
      letter("b"),
      letter("c", { attempts: 1, nextAttemptAt: toTimestamp(0) }),
      letter("d", { refused: true, attempts: 1 }),
      // The environment has failed, which is not counted as an attempt.
      letter("e", { nextAttemptAt: toTimestamp(0) }),
      letter("z", { attempts: 3 }),
    ],
  );
  expect(outcome).toMatchObject({ inserted: 1, waiting: 1 });
  expect(outcome.failed.map(({ batchId }) => batchId)).toEqual(["c", "d", "e"]);
});
