import { rejectedStrings as words } from "./rejectedStrings.ts";
import type { Rejected } from "./view.ts";

/** What a link requests and does not get, and what it got instead. */
export default function RejectedWords({ rejected, got }: { rejected: Rejected; got: { range: string; zone: string } }) {
  const notes = [
    rejected.range && words.unknownRange(rejected.range, got.range),
    rejected.interval && words.invalidInterval(rejected.interval, got.range),
    rejected.compare && words.unknownCompare(rejected.compare),
    rejected.filters && words.invalidFilters(rejected.filters),
    rejected.zone && words.unknownZone(rejected.zone, got.zone),
  ];
  return notes.filter(Boolean).join(" ");
}
