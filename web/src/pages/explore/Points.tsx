import type { Certainty } from "./funnelRows.ts";
import { pointsWords } from "./result.ts";
import { words } from "./strings.ts";

const HINTS: Partial<Record<Certainty, string>> = { chance: words.maybeChance, new: words.noneBefore };

/** Only what is hardly chance has a colour. What can be chance is marked, and says so. */
export const Points = ({ change, of }: { change: number | null; of: Certainty }) =>
  change === null ? null : (
    <span
      className={
        of !== "certain" || change === 0
          ? `text-muted ${of === "chance" ? "underline decoration-dotted underline-offset-2" : ""}`
          : change < 0
            ? "text-danger"
            : "text-good"
      }
      title={HINTS[of]}
    >
      {pointsWords(change)}
      {HINTS[of] && <span className="sr-only">. {HINTS[of]}</span>}
    </span>
  );
