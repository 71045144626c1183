import { useDeferredValue, useState } from "react";
import type { Setting } from "../../api/messages.ts";
import { LIST_SETTINGS } from "../../api/methods.ts";
import { useCall } from "../../live/useCall.ts";
import { Button } from "../../ui/Button.tsx";
import { Input } from "../../ui/Field.tsx";
import { CELL, ColumnHead, Loaded, Scrolled, Section } from "./Section.tsx";
import { shownSettings } from "./settingsOrder.ts";
import { strings } from "./strings.ts";

const words = strings.settings;

/** What the server runs with. Usually only what was changed is of interest. */
export function Settings() {
  const state = useCall(LIST_SETTINGS, {});
  const [text, setText] = useState("");
  const [all, setAll] = useState(false);
  const search = useDeferredValue(text.trim());
  return (
    <Section
      title={words.title}
      hint={words.hint}
      actions={
        <div className="w-full sm:w-64">
          <Input
            type="search"
            aria-label={words.search}
            placeholder={words.search}
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </div>
      }
    >
      <Loaded state={state} failed={words.failed}>
        {({ settings }) => {
          const found = shownSettings(settings, search);
          const shown = search || all ? found : found.filter(({ isDefault }) => !isDefault);
          const changed = settings.filter(({ isDefault }) => !isDefault).length;
          return (
            <>
              {search && found.length === 0 && <p className="text-muted">{words.noMatch(search)}</p>}
              {!search && (
                <p className="text-xs text-muted">{changed === 0 ? words.noneChanged : words.onlyChanged(changed)}</p>
              )}
              {shown.length > 0 && <SettingTable settings={shown} />}
              {!search && (
                <Button className="self-start" aria-expanded={all} onClick={() => setAll(!all)}>
                  {all ? words.fewer : words.all(settings.length)}
                </Button>
              )}
            </>
          );
        }}
      </Loaded>
    </Section>
  );
}

function Value({ setting: { value, secret } }: { setting: Setting }) {
  if (secret) return <span className="text-muted">{words.secret}</span>;
  if (value === "") return <span className="text-muted">{words.empty}</span>;
  return <code className="break-all">{value}</code>;
}

const SettingTable = ({ settings }: { settings: Setting[] }) => (
  <Scrolled label={words.table} tall>
    <table className="w-full text-sm">
      <thead>
        <tr>
          <ColumnHead>{words.name}</ColumnHead>
          <ColumnHead className="min-w-32">{words.value}</ColumnHead>
          <ColumnHead className="min-w-64">{words.meaning}</ColumnHead>
        </tr>
      </thead>
      <tbody>
        {settings.map((setting) => (
          <tr key={setting.name} className="border-t border-line">
            <th scope="row" className={`${CELL} font-normal`}>
              <code className="text-xs whitespace-nowrap">{setting.name}</code>
            </th>
            <td className={`${CELL} text-xs`}>
              <Value setting={setting} />
              {!setting.isDefault && <span className="ml-2 whitespace-nowrap text-accent">{words.changed}</span>}
            </td>
            <td className={`${CELL} text-xs text-muted`}>{setting.description}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </Scrolled>
);
