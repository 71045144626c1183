// Conditions: properties, what the visitor did, and groups of conditions.

import { useId, useState } from "react";
import { fieldWords } from "../../shell/pickers/fields.ts";
import { EventPicker, PropertyPicker, TypedInput, ValuesInput } from "../../shell/pickers/pickers.tsx";
import { Button, IconButton } from "../../ui/Button.tsx";
import { Select } from "../../ui/Select.tsx";
import { isDraft } from "./finished.ts";
import { isNumeric, valueCount } from "./operators.ts";
import {
  type DidItem,
  type FieldItem,
  type Group,
  type Item,
  noFilter,
  OPERATORS,
  type Operator,
  withValue,
} from "./question.ts";
import { words } from "./strings.ts";
import type { Problems } from "./validate.ts";
import { OPERATOR_WORDS } from "./words.ts";

interface Props {
  group: Group;
  onChange: (group: Group) => void;
  /** Whose properties are offered first. */
  event: string;
  problems: Problems;
  path: string;
  depth?: number;
  /** Conditions on what the visitor did are possible. */
  did?: boolean;
  /** Its condition was just added: its property is chosen next. */
  fresh?: boolean;
}

const MATCH = [
  { value: "all", label: words.matchAll },
  { value: "any", label: words.matchAny },
] as const;

const newField = (): FieldItem => ({ type: "field", not: false, field: "", op: "is", values: [] });
const newDid = (): DidItem => ({ type: "did", not: false, event: "", where: noFilter() });

export function FilterEditor({ group, onChange, event, problems, path, depth = 0, did = true, fresh = false }: Props) {
  const { match, items } = group;
  /** The condition that was added last. */
  const [added, setAdded] = useState(fresh ? 0 : undefined);
  const replace = (index: number, item: Item) =>
    onChange({ match, items: items.map((old, at) => (at === index ? item : old)) });
  const remove = (index: number) => onChange({ match, items: items.filter((_, at) => at !== index) });
  const add = (item: Item) => {
    setAdded(items.length);
    onChange({ match, items: [...items, item] });
  };
  return (
    <div className="flex min-w-0 flex-col gap-2">
      {items.length > 1 && (
        <div className="flex items-center gap-2 text-xs text-muted">
          <Select
            label={words.match}
            value={match}
            options={[...MATCH]}
            className="ui-button-quiet explore-small"
            onChange={(chosen) => onChange({ match: chosen, items })}
          />
        </div>
      )}
      {items.length > 0 && (
        <ul className="flex flex-col gap-2">
          {items.map((item, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: conditions have no identity but their place
            <li key={index} className="explore-condition">
              <Condition
                item={item}
                onChange={(changed) => replace(index, changed)}
                onRemove={() => remove(index)}
                event={event}
                problems={problems}
                path={`${path}.${index}`}
                depth={depth}
                fresh={index === added}
              />
            </li>
          ))}
        </ul>
      )}
      <div className="flex flex-wrap gap-1">
        <Button kind="quiet" icon="plus" className="explore-small" onClick={() => add(newField())}>
          {words.addCondition}
        </Button>
        {did && (
          <Button kind="quiet" icon="plus" className="explore-small" onClick={() => add(newDid())}>
            {words.addDid}
          </Button>
        )}
        {depth < 3 && items.length > 0 && (
          <Button
            kind="quiet"
            icon="plus"
            className="explore-small"
            onClick={() =>
              add({ type: "group", not: false, group: { match: match === "all" ? "any" : "all", items: [newField()] } })
            }
          >
            {words.addGroup}
          </Button>
        )}
      </div>
    </div>
  );
}

interface ConditionProps {
  item: Item;
  onChange: (item: Item) => void;
  onRemove: () => void;
  event: string;
  problems: Problems;
  path: string;
  depth: number;
  fresh: boolean;
}

function Condition(props: ConditionProps) {
  switch (props.item.type) {
    case "field":
      return <FieldCondition {...props} item={props.item} />;
    case "did":
      return <DidCondition {...props} item={props.item} />;
    case "group": {
      const { item, onChange, onRemove, depth, ...rest } = props;
      return (
        <>
          <div className="flex items-center gap-1">
            <NotToggle not={item.not} onChange={(not) => onChange({ ...item, not })} />
            <span className="flex-1 text-xs text-muted">{words.groupOf}</span>
            <Remove onClick={onRemove} />
          </div>
          <FilterEditor
            {...rest}
            group={item.group}
            depth={depth + 1}
            onChange={(group) => onChange({ ...item, group })}
          />
          <Problem id={undefined} text={props.problems.get(props.path)} />
        </>
      );
    }
  }
}

const Remove = ({ onClick }: { onClick: () => void }) => (
  <IconButton icon="close" label={words.removeCondition} onClick={onClick} />
);

const NotToggle = ({ not, onChange }: { not: boolean; onChange: (not: boolean) => void }) => (
  <button
    type="button"
    className="ui-segment explore-not"
    aria-pressed={not}
    aria-label={words.not}
    title={words.not}
    onClick={() => onChange(!not)}
  >
    {words.not}
  </button>
);

export const Problem = ({ id, text }: { id: string | undefined; text: string | undefined }) =>
  text === undefined ? null : (
    <p id={id} className="explore-problem">
      {text}
    </p>
  );

const OPERATOR_OPTIONS = OPERATORS.map((value) => ({ value, label: OPERATOR_WORDS[value] }));

/** What of the values the operator can keep. */
function keptValues(op: Operator, values: string[]): string[] {
  const count = valueCount(op);
  if (count === "none") return [];
  return count === "many" ? values : values.slice(0, count === "one" ? 1 : 2);
}

function FieldCondition({
  item,
  onChange,
  onRemove,
  event,
  problems,
  path,
  fresh,
}: ConditionProps & { item: FieldItem }) {
  const id = useId();
  const fieldProblem = problems.get(`${path}.field`);
  const problem = fieldProblem ?? problems.get(`${path}.values`);
  const { op, values } = item;
  const count = valueCount(op);
  const set = (change: Partial<FieldItem>) => onChange({ ...item, ...change });
  const number = (index: number, label: string) => (
    <TypedInput
      label={label}
      value={values[index] ?? ""}
      inputMode="decimal"
      invalid={problem !== undefined && !fieldProblem}
      describedBy={problem ? id : undefined}
      onCommit={(text) => {
        const next = count === "two" ? [values[0] ?? "", values[1] ?? ""] : [""];
        next[index] = text.trim();
        set({ values: next });
      }}
    />
  );
  return (
    <>
      <div className="flex items-center gap-1">
        <PropertyPicker
          label={words.property}
          event={event}
          value={item.field}
          opened={fresh && item.field === ""}
          className="flex-1"
          onChange={(field) => set({ field, values: field === item.field ? values : [] })}
        />
        <Remove onClick={onRemove} />
      </div>
      <div className="flex items-start gap-1">
        {item.not && <NotToggle not onChange={(not) => set({ not })} />}
        <Select
          label={`${words.operator}, ${item.field ? fieldWords(item.field) : words.property}`}
          value={op}
          options={OPERATOR_OPTIONS}
          className="picker-select"
          onChange={(next) => set({ op: next, values: keptValues(next, values) })}
        />
        <div className="min-w-0 flex-1">
          {count === "many" && (
            <ValuesInput
              event={event}
              field={item.field}
              values={values}
              invalid={problem !== undefined && !fieldProblem}
              describedBy={problem ? id : undefined}
              onChange={(next) => set({ values: next })}
            />
          )}
          {isNumeric(op) && (
            <div className="flex items-center gap-1">
              {number(0, words.number)}
              {count === "two" && number(1, words.secondNumber)}
            </div>
          )}
        </div>
      </div>
      <Problem id={id} text={problem} />
      {isDraft(item) && <p className="ui-hint">{words.notApplied}</p>}
    </>
  );
}

const WITHIN = Object.entries(words.windowOptions).map(([value, label]) => ({ value, label }));

function DidCondition({ item, onChange, onRemove, problems, path, depth }: ConditionProps & { item: DidItem }) {
  const id = useId();
  const set = (change: Partial<DidItem>) => onChange({ ...item, ...change });
  const problem = problems.get(path) ?? problems.get(`${path}.times`) ?? problems.get(`${path}.within`);
  const within = item.within === undefined ? "" : String(item.within);
  return (
    <>
      <div className="flex items-center gap-1">
        <Select
          label={words.did}
          value={item.not ? "not" : "did"}
          options={[
            { value: "did", label: words.did },
            { value: "not", label: words.didNot },
          ]}
          onChange={(value) => set({ not: value === "not" })}
        />
        <EventPicker label={words.event} value={item.event} className="flex-1" onChange={(event) => set({ event })} />
        <Remove onClick={onRemove} />
      </div>
      <div className="flex items-center gap-1 text-xs text-muted">
        <span>≥</span>
        <TypedInput
          label={words.times}
          value={String(item.times ?? 1)}
          inputMode="numeric"
          className="max-w-14"
          invalid={problem !== undefined}
          describedBy={problem ? id : undefined}
          onCommit={(text) => {
            const times = Number.parseInt(text, 10);
            onChange(withValue(item, "times", times === 1 || Number.isNaN(times) ? undefined : times));
          }}
        />
        <span>×</span>
        <Select
          label={words.within}
          value={within}
          text={within === "" ? words.withinRange : undefined}
          options={[{ value: "", label: words.withinRange }, ...WITHIN]}
          className="explore-small min-w-0 flex-1"
          onChange={(value) => onChange(withValue(item, "within", value === "" ? undefined : Number(value)))}
        />
      </div>
      <FilterEditor
        group={item.where}
        event={item.event}
        problems={problems}
        path={`${path}.where`}
        depth={depth + 1}
        did={false}
        onChange={(where) => set({ where })}
      />
      <Problem id={id} text={problem} />
    </>
  );
}
