// Parameters of a panel as controls.

import { type FormEvent, useState } from "react";
import type { PanelInfo } from "../../live/protocol.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { chosenValues, ParameterFields, type Typed } from "./ParameterFields.tsx";
import { useParametersOfPage } from "./parameters.tsx";
import { boardStrings as words } from "./strings.ts";

export default function ParametersDialog({ info, onClose }: { info: PanelInfo; onClose: () => void }) {
  const { values, set } = useParametersOfPage();
  const { parameters = [] } = info;
  const [typed, setTyped] = useState<Typed>({ ...values[info.name] });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const chosen = chosenValues(parameters, typed);
    set(info.name, Object.fromEntries(parameters.map(({ name }) => [name, chosen[name]])));
    onClose();
  };
  return (
    <Dialog title={words.parametersOf(info.title)} onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <ParameterFields parameters={parameters} typed={typed} onType={setTyped} />
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
