// What a condition compares, how, and with what, from the catalogue of the project.

import { useState } from "react";
import { EventPicker, PropertyPicker, TypedInput, ValuesInput } from "../../shell/pickers/pickers.tsx";
import { Button } from "../../ui/Button.tsx";
import type { Option } from "../../ui/Combobox.tsx";
import { Select } from "../../ui/Select.tsx";
import { type Condition, isAboutNumber, OPERATORS, type Operator, problemOf, takesValue } from "./conditions.ts";
import { words } from "./strings.ts";

const EVENT = "event_name";
/** What most readers look for comes first. */
const EVENT_OPTION: Option[] = [{ value: EVENT, label: words.columns.event }];
const OPERATOR_OPTIONS = OPERATORS.map((value) => ({ value, label: words.operators[value] }));

interface Props {
  /** Whose properties and values are offered first. Empty for any event. */
  event: string;
  /** One for each value. */
  onAdd: (conditions: Condition[]) => void;
}

export default function ConditionForm({ event, onAdd }: Props) {
  const [field, setField] = useState(EVENT);
  const [operator, setOperator] = useState<Operator>("is");
  const [values, setValues] = useState<string[]>([]);
  const [submitted, setSubmitted] = useState(false);
  const conditions = (takesValue(operator) && values.length > 0 ? values : [""]).map(
    (value): Condition => ({ field, operator, value }),
  );
  const problem = conditions.map(problemOf).find((each) => each !== undefined);
  const error = problem && (problem === "number" ? words.valueNotNumber : words.valueMissing);
  return (
    <form
      noValidate
      className="flex w-72 max-w-full flex-col gap-2"
      onSubmit={(submission) => {
        submission.preventDefault();
        setSubmitted(true);
        if (problem === undefined) onAdd(conditions);
      }}
    >
      <PropertyPicker
        label={words.field}
        event={event}
        value={field}
        extra={EVENT_OPTION}
        className="w-full"
        onChange={(chosen) => {
          setField(chosen);
          setValues([]);
        }}
      />
      <Select
        label={words.operator}
        value={operator}
        options={OPERATOR_OPTIONS}
        className="picker-select w-full"
        onChange={(chosen) => {
          if (isAboutNumber(chosen) !== isAboutNumber(operator)) setValues([]);
          setOperator(chosen);
        }}
      />
      {valueControl()}
      {submitted && error && (
        <p className="ui-error" role="alert">
          {error}
        </p>
      )}
      <Button kind="primary" type="submit" className="self-start">
        {words.add}
      </Button>
    </form>
  );

  function valueControl() {
    if (!takesValue(operator)) return null;
    if (isAboutNumber(operator)) {
      return (
        <TypedInput
          label={words.value}
          value={values[0] ?? ""}
          inputMode="decimal"
          invalid={submitted && problem !== undefined}
          onCommit={(text) => setValues([text.trim()])}
        />
      );
    }
    if (field === EVENT && (operator === "is" || operator === "is-not")) {
      return (
        <EventPicker
          label={words.value}
          value={values[0]}
          any={false}
          text={values[0] ?? words.chooseEvent}
          className="w-full"
          onChange={(chosen) => setValues([chosen])}
        />
      );
    }
    return (
      <ValuesInput
        event={field === EVENT ? "" : event}
        field={field}
        values={values}
        invalid={submitted && problem !== undefined}
        onChange={setValues}
      />
    );
  }
}
