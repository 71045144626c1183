import type { Catalog } from "../frame/catalog.ts";
import { comparedSpanWords, filterWords, spanWords, zoneWords } from "../frame/words.ts";
import { formatInstant } from "../lib/time.ts";
import { COMPARISONS, type Filter, type PanelQuery, queryKey, type Selection, sameFilter } from "../query/query.ts";
import { strings } from "../strings.ts";
import { IconButton } from "../ui/Button.tsx";
import { Popover } from "../ui/Popover.tsx";
import { Select } from "../ui/Select.tsx";
import { FilterForm } from "./FilterForm.tsx";
import { useLastFrame, useLive } from "./live.ts";
import { offeredValues } from "./offeredValues.ts";
import { useFrozen } from "./pause.tsx";
import { type View, withFilter } from "./view.ts";

interface Props {
  catalog: Catalog;
  view: View;
  /** What of the view is shown: without filters that the server does not know. */
  selection: Selection;
  /** A query that covers the whole range. */
  spanQuery: PanelQuery | undefined;
  onView: (change: Partial<View>) => void;
}

const COMPARE_OPTIONS = (["none", ...COMPARISONS] as const).map((value) => ({ value, label: strings.compare[value] }));

/** What is on the screen: the exact span, what it is compared with, and the filters. */
export function ViewBar({ catalog, view, selection, spanQuery, onView }: Props) {
  const { frame } = useLive();
  const filters = view.filters ?? [];
  const known = new Set(catalog.dimensions.map(({ name }) => name));
  const remove = (removed: Filter) => onView({ filters: filters.filter((filter) => !sameFilter(filter, removed)) });
  return (
    <section aria-label={strings.viewBar} className="view-bar">
      {spanQuery && <Span query={spanQuery} />}
      <Select
        label={strings.compareLabel}
        value={view.compare ?? "none"}
        options={COMPARE_OPTIONS}
        className="ui-button-quiet"
        onChange={(compare) => onView({ compare: compare === "none" ? undefined : compare })}
      />
      {filters.length > 0 && (
        <ul aria-label={strings.filters} className="contents">
          {filters.map((filter) => (
            <Chip
              key={`${filter.dimension}:${filter.value}`}
              filter={filter}
              known={known.has(filter.dimension)}
              onRemove={() => remove(filter)}
            />
          ))}
        </ul>
      )}
      {catalog.dimensions.length > 0 && (
        <Popover
          label={strings.addFilter}
          className="ui-button ui-button-quiet"
          content={(close) => (
            <FilterForm
              dimensions={catalog.dimensions}
              values={(dimension) => offeredValues(dimension, catalog, selection, frame)}
              onAdd={(filter) => {
                onView({ filters: withFilter(filters, filter) });
                close();
              }}
            />
          )}
        >
          {strings.addFilter}
        </Popover>
      )}
    </section>
  );
}

/** From the result itself, not from the selected range. */
function Span({ query }: { query: PanelQuery }) {
  const last = useLastFrame(query);
  const shown = useFrozen(last, queryKey(query), last !== null && !last.placeholder, false);
  if (!shown || shown.placeholder || shown.frame.context.span) return <p className="view-span" />;
  const { frame } = shown;
  const { context, comparison } = frame;
  const { requestedStart, start, zone, computedAt } = context;
  return (
    <p className="view-span" data-shown-span="" title={zoneWords(context)}>
      <span className="text-ink">{spanWords(context)}</span>
      {comparison && ` ${strings.comparedWith} ${comparedSpanWords(frame)}`}
      {requestedStart !== undefined && (
        <span className="text-warn"> {strings.notStoredBefore(formatInstant(start, zone, computedAt))}</span>
      )}
    </p>
  );
}

interface ChipProps {
  filter: Filter;
  known: boolean;
  onRemove: () => void;
}

function Chip({ filter, known, onRemove }: ChipProps) {
  const words = filterWords(filter);
  return (
    <li className="filter-chip" data-filter={known ? "" : "unknown"}>
      <span
        className={`max-w-64 truncate ${known ? "" : "text-warn line-through"}`}
        title={known ? words : strings.unknownDimension(filter.dimension)}
      >
        {words}
      </span>
      {!known && <span className="sr-only">{strings.unknownDimension(filter.dimension)}</span>}
      <IconButton icon="close" label={strings.removeFilter(words)} onClick={onRemove} />
    </li>
  );
}
