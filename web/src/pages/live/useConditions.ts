import { useCallback, useMemo } from "react";
import { useCatalog } from "../../shell/live.ts";
import { type Search, useParameters, useView, withFilter } from "../../shell/view.ts";
import { type Condition, formatCondition, readConditions, sameCondition, withCondition } from "./conditions.ts";

const listOf = (value: Search[string]): string[] => [value ?? []].flat();

/** The conditions in the address. */
export function useConditions() {
  const [{ filters }, setView] = useView();
  const [search, setSearch] = useParameters();
  const { catalog } = useCatalog();
  const text = listOf(search.where).join("\n");
  const { conditions, rejected } = useMemo(() => readConditions(text === "" ? [] : text.split("\n")), [text]);

  const set = useCallback(
    (next: Condition[]) => setSearch({ where: next.length === 0 ? undefined : next.map(formatCondition) }),
    [setSearch],
  );

  /** What dashboards can filter by becomes a filter of the bar, and stays when the reader goes there. */
  const add = useCallback(
    (condition: Condition) => {
      const { field, operator, value } = condition;
      const isDimension = catalog?.dimensions.some(({ name }) => name === field) ?? false;
      if (isDimension && operator === "is") setView({ filters: withFilter(filters, { dimension: field, value }) });
      else set(withCondition(conditions, condition));
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
