// What the tables of all results have in common.

import { useMemo, useState } from "react";
import { Icon } from "../../ui/icons.tsx";
import { chartOf, OFFERED_CHARTS, type Question, withValue } from "./question.ts";
import { words } from "./strings.ts";

interface Sort<Column> {
  column: Column;
  direction: "ascending" | "descending";
}

type Key = string | number | null;

/** Rows by a column that was chosen; else as they are. Rows without a value are last. */
export function useSorted<Row, Column extends string>(rows: Row[], columns: Record<Column, (row: Row) => Key>) {
  const [sort, setSort] = useState<Sort<Column>>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the columns read the rows only
  const sorted = useMemo(() => {
    if (!sort || !columns[sort.column]) return rows;
    const read = columns[sort.column];
    const sign = sort.direction === "ascending" ? 1 : -1;
    return [...rows].sort((a, b) => {
      const [x, y] = [read(a), read(b)];
      if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
      return sign * (typeof x === "string" ? x.localeCompare(String(y), "en") : x - Number(y));
    });
  }, [rows, sort]);
  /** Descending first, for texts ascending; then the other way; then as it was. */
  const toggle = (column: Column) =>
    setSort((before) => {
      if (before?.column !== column) return { column, direction: column === "line" ? "ascending" : "descending" };
      const second = column === "line" ? "descending" : "ascending";
      return before.direction === second ? undefined : { column, direction: second };
    });
  return { sorted, sort, toggle };
}

interface HeaderProps {
  label: string;
  numeric?: boolean;
  sorted: "ascending" | "descending" | undefined;
  onSort: () => void;
}

export const SortHeader = ({ label, numeric = true, sorted, onSort }: HeaderProps) => (
  <th scope="col" aria-sort={sorted ?? "none"} className={numeric ? "text-right" : "text-left"}>
    <button type="button" className="explore-sort" title={words.sortBy(label)} onClick={onSort}>
      {label}
      {sorted && <Icon name="chevronDown" className={sorted === "ascending" ? "rotate-180" : ""} />}
    </button>
  </th>
);

interface ChartSelectProps<Asked extends Question> {
  question: Asked;
  onQuestion: (question: Asked) => void;
}

export const ChartSelect = <Asked extends Question>({ question, onQuestion }: ChartSelectProps<Asked>) => (
  // biome-ignore lint/a11y/useSemanticElements: a fieldset's legend cannot be laid out in a row
  <div role="group" aria-label={words.chart} className="explore-charts">
    {OFFERED_CHARTS[question.kind].map((each, index) => (
      <button
        key={each}
        type="button"
        className="ui-segment"
        aria-pressed={each === chartOf(question)}
        onClick={() =>
          each !== chartOf(question) && onQuestion(withValue(question, "chart", index === 0 ? undefined : each))
        }
      >
        {words.charts[each]}
      </button>
    ))}
  </div>
);
