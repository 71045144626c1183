import { REST_VALUE } from "../frame/columns.ts";
import { legendText } from "./legendText.ts";
import type { Plot } from "./plot.ts";
import { swatch } from "./swatch.ts";
import { useValueFilter, ValueButton } from "./valueFilter.tsx";

interface Props {
  plot: Plot;
  others: { count: number; drawn: boolean };
  interval: number | null;
  /** What the value "(other)" is. */
  rest: string;
}

/** Above the chart, so that it does not move when the chart grows. */
export function Legend({ plot, others, interval, rest }: Props) {
  const filterBy = useValueFilter();
  const { entries, notes } = legendText(plot, others, interval);
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-0.5 text-xs text-muted">
      <ul data-legend="" className="contents">
        {entries.map(({ key, color, dash, line, label, value, note, dimensionValue }) => (
          <li
            key={key}
            data-dash={dash || undefined}
            className="flex max-w-full min-w-0 items-center gap-1.5"
            title={dimensionValue?.cell === REST_VALUE ? rest : note ? `${label}: ${value} (${note})` : label}
          >
            <span
              className={`shrink-0 ${line ? "h-0.5 w-3 rounded-full" : "size-2 rounded-sm"}`}
              style={swatch(color, dash)}
            />
            <ValueButton label={label} onClick={filterBy(dimensionValue)} className="truncate">
              {label}
            </ValueButton>
            <span className="font-medium text-ink tabular-nums in-data-dimmed:text-muted">{value}</span>
          </li>
        ))}
      </ul>
      {notes.map((note) => (
        <span key={note}>{note}</span>
      ))}
    </div>
  );
}
