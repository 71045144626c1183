// Parameters of a panel as controls.

import { type FormEvent, useState } from "react";
import type { PanelInfo } from "../../live/protocol.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { label, useParametersOfPage } from "./parameters.tsx";
import { boardStrings as words } from "./strings.ts";

const isNumber = (type: string): boolean => /^(Nullable\()?(U?Int|Float|Decimal)/.test(type);

export default function ParametersDialog({ info, onClose }: { info: PanelInfo; onClose: () => void }) {
  const { values, set } = useParametersOfPage();
  const { parameters = [] } = info;
  const [typed, setTyped] = useState<Record<string, string>>({ ...values[info.name] });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    set(
      info.name,
      Object.fromEntries(
        parameters.map(({ name, defaultValue }) => {
          const value = typed[name]?.trim();
          return [name, value === undefined || value === "" || value === defaultValue ? undefined : value];
        }),
      ),
    );
    onClose();
  };
  return (
    <Dialog title={words.parametersOf(info.title)} onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        {parameters.map(({ name, type, defaultValue, description }) => (
          <Field key={name} label={label(name)} hint={words.parameterHint(description, defaultValue)}>
            {(control) => (
              <Input
                {...control}
                inputMode={isNumber(type) ? "decimal" : undefined}
                placeholder={defaultValue}
                value={typed[name] ?? ""}
                onChange={(event) => setTyped({ ...typed, [name]: event.target.value })}
              />
            )}
          </Field>
        ))}
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={() => setTyped({})}>{words.defaults}</Button>
          <Button kind="primary" type="submit">
            {words.apply}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
