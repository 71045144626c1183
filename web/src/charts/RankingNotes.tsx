// What both drawings of a ranking say beside the bars.

import { REST_VALUE } from "../frame/columns.ts";
import type { Frame } from "../frame/frame.ts";
import type { Ranking } from "../frame/ranking.ts";
import { restWords } from "../frame/words.ts";
import { formatCount } from "../lib/format.ts";

/** The colours of the measures. A single measure needs no legend. */
export function MeasureLegend({ measures }: Pick<Ranking, "measures">) {
  if (measures.length < 2) return null;
  return (
    <ul data-legend="" className="flex flex-wrap gap-x-4 text-xs text-muted">
      {measures.map(({ key, label, color }) => (
        <li key={key} className="flex items-center gap-1.5">
          <span className="size-2 rounded-sm" style={{ background: `var(${color})` }} />
          {label}
        </li>
      ))}
    </ul>
  );
}

/** Says how many values have no bar. */
export function NotShown({ count }: { count: number }) {
  if (count === 0) return null;
  return <p className="text-xs text-muted">{formatCount(count)} more not shown. The CSV file has all.</p>;
}

/** Says what the value "(other)" is: of a panel, or of the breakdown of a question. */
export function RestNote({ frame }: { frame: Frame }) {
  const words = restWords(frame);
  return (
    <p className="text-xs text-muted">
      {REST_VALUE}: {words.charAt(0).toLowerCase() + words.slice(1)}.
    </p>
  );
}
