import { useId, useState } from "react";
import type { Dimension } from "../frame/catalog.ts";
import { dimensionWords, filterWords } from "../frame/words.ts";
import type { Filter } from "../query/query.ts";
import { strings } from "../strings.ts";
import { Button } from "../ui/Button.tsx";
import { Field, Input } from "../ui/Field.tsx";
import { filterStrings } from "./filterStrings.ts";

interface Props {
  dimensions: Dimension[];
  /** Values to offer. Any other one can be typed. */
  values: (dimension: string) => string[];
  onAdd: (filter: Filter) => void;
}

/** Native controls: they bring suggestions, keyboard and touch behaviour without any code. */
export default function FilterForm({ dimensions, values, onAdd }: Props) {
  const names = dimensions.map(({ name }) => name);
  const [dimension, setDimension] = useState(() => names.find((name) => values(name).length > 0) ?? names[0] ?? "");
  const [value, setValue] = useState("");
  const [submitted, setSubmitted] = useState(false);
  const listId = useId();
  const { events = [] } = dimensions.find(({ name }) => name === dimension) ?? {};
  const error = submitted && value.trim() === "" ? filterStrings.filterValueMissing : undefined;
  return (
    <form
      noValidate
      className="flex w-64 max-w-full flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        setSubmitted(true);
        if (value.trim() !== "") onAdd({ dimension, value: value.trim() });
      }}
    >
      <Field
        label={filterStrings.filterDimension}
        hint={events.length > 0 ? filterStrings.filterEvents(events.join(", ")) : undefined}
      >
        {(control) => (
          <select
            {...control}
            className="ui-input"
            value={dimension}
            onChange={(event) => setDimension(event.target.value)}
          >
            {names.map((name) => (
              <option key={name} value={name}>
                {dimensionWords(name)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label={filterStrings.filterValue} error={error}>
        {(control) => (
          <>
            <Input
              {...control}
              list={listId}
              value={value}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => setValue(event.target.value)}
            />
            <datalist id={listId}>
              {values(dimension).map((offered) => (
                <option key={offered} value={offered} label={nameOf(dimension, offered)} />
              ))}
            </datalist>
          </>
        )}
      </Field>
      <Button kind="primary" type="submit" className="self-start">
        {strings.addFilter}
      </Button>
    </form>
  );
}

/** "Spain" beside "ES". */
function nameOf(dimension: string, value: string): string | undefined {
  const name = filterWords({ dimension, value }).slice(dimensionWords(dimension).length + 2);
  return name === value ? undefined : name;
}
