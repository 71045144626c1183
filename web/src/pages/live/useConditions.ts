import { useCallback, useMemo } from "react";
import { useCatalog } from "../../shell/live.ts";
import { useParameters, useView, withFilter } from "../../shell/view.ts";
import { readLive, writeLive } from "./address.ts";
import { type Condition, sameCondition, withCondition } from "./conditions.ts";

/** The conditions in the address. */
export function useConditions() {
  const [{ filters }, setView] = useView();
  const [search, setSearch] = useParameters();
  const { catalog } = useCatalog();
  const text = JSON.stringify(search.where);
  // The same conditions are the same list: the stream begins again with another one.
  // biome-ignore lint/correctness/useExhaustiveDependencies: as above
  const { conditions, rejected } = useMemo(() => readLive(search), [text]);

  const set = useCallback((next: Condition[]) => setSearch(writeLive({ conditions: next })), [setSearch]);

  /** What dashboards can filter by becomes a filter of the bar, and stays when the reader goes there. */
  const add = useCallback(
    (added: Condition[]) => {
      let nextFilters = filters;
      let next = conditions;
      for (const condition of added) {
        const { field, operator, value } = condition;
        const isDimension = catalog?.dimensions.some(({ name }) => name === field) ?? false;
        if (isDimension && operator === "is") nextFilters = withFilter(nextFilters, { dimension: field, value });
        else next = withCondition(next, condition);
      }
      if (nextFilters !== filters) setView({ filters: nextFilters });
      if (next !== conditions) set(next);
    },
    [catalog, conditions, filters, set, setView],
  );
  const remove = useCallback(
    (removed: Condition) => set(conditions.filter((condition) => !sameCondition(condition, removed))),
    [conditions, set],
  );
  const clear = useCallback(() => {
    setSearch({ where: undefined, filter: undefined });
  }, [setSearch]);
  return { conditions, filters, rejected, add, remove, clear };
}
