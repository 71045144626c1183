// The filters of the view: a popup that adds one, and chips of the active ones.

import { useMemo } from "react";
import type { Catalog } from "../frame/catalog.ts";
import { filterWords } from "../frame/words.ts";
import { lazyPart } from "../lazyPart.ts";
import { type Filter, sameFilter } from "../query/query.ts";
import { strings } from "../strings.ts";
import { Button, IconButton } from "../ui/Button.tsx";
import { Icon } from "../ui/icons.tsx";
import { Popover } from "../ui/Popover.tsx";
import { useLive } from "./live.ts";
import { offeredValues } from "./offeredValues.ts";
import { frameStrings } from "./strings.ts";
import { type View, withFilter } from "./view.ts";

const FilterForm = lazyPart(() => import("./FilterForm.tsx"), "idle");

interface Props {
  catalog: Catalog | undefined;
  view: View;
  /** Values to offer, instead of those on the screen. */
  values?: (dimension: string) => string[];
  onView: (change: Partial<View>) => void;
}

const keyOf = ({ dimension, value }: Filter): string => `${dimension}:${value}`;

/** Adds a filter. */
export function FilterControl({ catalog, view, values, onView }: Props) {
  const { frame } = useLive();
  const { filters = [] } = view;
  const isKnown = useKnown(catalog);
  const offered = (dimension: string) => {
    if (values) return values(dimension);
    const selection = { ...view, filters: filters.filter(isKnown) };
    return catalog ? offeredValues(dimension, catalog, selection, frame) : [];
  };
  return (
    <Popover
      label={strings.addFilter}
      aria-label={strings.addFilter}
      className="ui-button ui-button-quiet flex-none"
      content={(close) =>
        catalog && catalog.dimensions.length > 0 ? (
          <FilterForm
            dimensions={catalog.dimensions}
            values={offered}
            onAdd={(filter) => {
              onView({ filters: withFilter(filters, filter) });
              close();
            }}
          />
        ) : (
          <p className="w-64 max-w-full text-muted">{frameStrings.noDimensions}</p>
        )
      }
    >
      <Icon name="filter" className="text-muted" />
      <span className="bar-filter-word">{frameStrings.filter}</span>
    </Popover>
  );
}

/** The active filters, below the bar: each can be removed where it is read. */
export function FilterChips({ catalog, view, onView }: Omit<Props, "values">) {
  const { filters = [] } = view;
  const isKnown = useKnown(catalog);
  if (filters.length === 0) return null;
  return (
    <ul aria-label={strings.filters} className="bar-chips">
      {filters.map((filter) => (
        <Chip
          key={keyOf(filter)}
          filter={filter}
          known={isKnown(filter)}
          onRemove={() => onView({ filters: filters.filter((other) => !sameFilter(other, filter)) })}
        />
      ))}
      {filters.length > 1 && (
        <li>
          <Button kind="quiet" onClick={() => onView({ filters: undefined })}>
            {frameStrings.clearFilters}
          </Button>
        </li>
      )}
    </ul>
  );
}

/** Whether the server has the dimension of a filter. Without a catalogue nothing is known, and nothing is wrong. */
function useKnown(catalog: Catalog | undefined): (filter: Filter) => boolean {
  const known = useMemo(() => catalog && new Set(catalog.dimensions.map(({ name }) => name)), [catalog]);
  return ({ dimension }) => known?.has(dimension) ?? true;
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
        className={`min-w-0 truncate ${known ? "" : "text-warn line-through"}`}
        title={known ? words : strings.unknownDimension(filter.dimension)}
      >
        {words}
      </span>
      {!known && <span className="sr-only">{strings.unknownDimension(filter.dimension)}</span>}
      <IconButton icon="close" label={strings.removeFilter(words)} onClick={onRemove} />
    </li>
  );
}
