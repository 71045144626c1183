import { useId, useState } from "react";
import { LIST_PROPERTIES } from "../../api/methods.ts";
import { useCall } from "../../live/useCall.ts";
import { Button, IconButton } from "../../ui/Button.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { Popover } from "../../ui/Popover.tsx";
import { type Condition, formatCondition, OPERATORS, type Operator, problemOf, takesValue } from "./conditions.ts";
import { words } from "./strings.ts";
import { conditionWords } from "./texts.ts";

interface Props {
  conditions: Condition[];
  onAdd: (condition: Condition) => void;
  onRemove: (condition: Condition) => void;
}

/** The conditions of this page, besides the filters of the bar. */
export function ConditionBar({ conditions, onAdd, onRemove }: Props) {
  return (
    <>
      {conditions.length > 0 && (
        <ul aria-label={words.conditions} className="contents">
          {conditions.map((condition) => {
            const text = conditionWords(condition);
            return (
              <li key={formatCondition(condition)} className="condition-chip" data-condition="">
                <span className="min-w-0 truncate" title={text}>
                  {text}
                </span>
                <IconButton icon="close" label={words.removeCondition(text)} onClick={() => onRemove(condition)} />
              </li>
            );
          })}
        </ul>
      )}
      <Popover
        label={words.addCondition}
        className="ui-button ui-button-quiet"
        content={(close) => (
          <ConditionForm
            onAdd={(condition) => {
              onAdd(condition);
              close();
            }}
          />
        )}
      >
        {words.addCondition}
      </Popover>
    </>
  );
}

const OWN_FIELDS = ["event_name", "user_id", "session_id", "device_type", "country_code"];

/** Native controls: they bring suggestions, keyboard and touch behaviour without any code. */
function ConditionForm({ onAdd }: { onAdd: (condition: Condition) => void }) {
  const [condition, setCondition] = useState<Condition>({ field: "event_name", operator: "is", value: "" });
  const [submitted, setSubmitted] = useState(false);
  const listId = useId();
  // Suggestions only: without them any field can be typed.
  const properties = useCall(LIST_PROPERTIES, { limit: 100 }, { staleMs: 60_000 });
  const fields = [...new Set([...OWN_FIELDS, ...(properties.data?.properties ?? []).map(({ field }) => field)])];
  const set = (change: Partial<Condition>) => setCondition((before) => ({ ...before, ...change }));
  const field = condition.field.trim();
  const problem = problemOf(condition);
  const valueError = problem === "number" ? words.valueNotNumber : problem === "value" ? words.valueMissing : undefined;
  return (
    <form
      noValidate
      className="flex w-64 max-w-full flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        setSubmitted(true);
        if (field !== "" && problem === undefined) onAdd({ ...condition, field });
      }}
    >
      <Field
        label={words.field}
        hint={words.fieldHint}
        error={submitted && field === "" ? words.fieldMissing : undefined}
      >
        {(control) => (
          <>
            <Input
              {...control}
              list={listId}
              value={condition.field}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => set({ field: event.target.value })}
            />
            <datalist id={listId}>
              {fields.map((name) => (
                <option key={name} value={name} />
              ))}
            </datalist>
          </>
        )}
      </Field>
      <Field label={words.operator}>
        {(control) => (
          <select
            {...control}
            className="ui-input"
            value={condition.operator}
            onChange={(event) => set({ operator: event.target.value as Operator })}
          >
            {OPERATORS.map((operator) => (
              <option key={operator} value={operator}>
                {words.operators[operator]}
              </option>
            ))}
          </select>
        )}
      </Field>
      {takesValue(condition.operator) && (
        <Field label={words.value} error={submitted ? valueError : undefined}>
          {(control) => (
            <Input
              {...control}
              value={condition.value}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => set({ value: event.target.value })}
            />
          )}
        </Field>
      )}
      <Button kind="primary" type="submit" className="self-start">
        {words.add}
      </Button>
    </form>
  );
}
