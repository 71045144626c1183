import type { Certainty } from "./funnelRows.ts";
import { pointsWords } from "./result.ts";
import { words } from "./strings.ts";

const HINTS: Partial<Record<Certainty, string>> = { chance: words.maybeChance, new: words.noneBefore };

/** Only what is hardly chance has a colour. */
export const Points = ({ change, of }: { change: number | null; of: Certainty }) =>
  change === null ? null : (
    <span
      className={of !== "certain" || change === 0 ? "text-muted" : change < 0 ? "text-danger" : "text-good"}
      title={HINTS[of]}
    >
      {pointsWords(change)}
    </span>
  );
