// Parameters as controls: of a panel, and of a statement in Explore.

import type { PanelParameter } from "../../frame/catalog.ts";
import { Field, Input } from "../../ui/Field.tsx";
import { label } from "./parameters.tsx";
import { boardStrings as words } from "./strings.ts";

const isNumber = (type: string): boolean => /^(Nullable\()?(U?Int|Float|Decimal)/.test(type);

/** What is typed, by name. Nothing is the default. */
export type Typed = Record<string, string | undefined>;

interface Props {
  parameters: PanelParameter[];
  typed: Typed;
  onType: (typed: Typed) => void;
  /** Why a value was rejected. */
  errorOf?: (name: string) => string | undefined;
}

export const ParameterFields = ({ parameters, typed, onType, errorOf }: Props) =>
  parameters.map(({ name, type, defaultValue, description }) => (
    <Field key={name} label={label(name)} hint={words.parameterHint(description, defaultValue)} error={errorOf?.(name)}>
      {(control) => (
        <Input
          {...control}
          inputMode={isNumber(type) ? "decimal" : undefined}
          placeholder={defaultValue}
          value={typed[name] ?? ""}
          onChange={(event) => onType({ ...typed, [name]: event.target.value })}
        />
      )}
    </Field>
  ));

/** The values that differ from the defaults, by name. */
export function chosenValues(parameters: PanelParameter[], typed: Typed): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { name, defaultValue } of parameters) {
    const value = typed[name]?.trim();
    if (value && value !== defaultValue) values[name] = value;
  }
  return values;
}
