import { strings } from "../strings.ts";
import { Dialog } from "../ui/Dialog.tsx";
import { Kbd } from "../ui/Kbd.tsx";
import { helpStrings as words } from "./helpStrings.ts";
import { PALETTE_KEYS } from "./palette/keys.ts";
import { setShortcutsEnabled, useShortcutList, useShortcutsEnabled } from "./shortcuts.tsx";
import { frameStrings } from "./strings.ts";

export default function HelpDialog({ onClose }: { onClose: () => void }) {
  const shortcuts = useShortcutList();
  const enabled = useShortcutsEnabled();
  // The palette's key has a modifier, so it is not switched off with the others.
  const rows = [
    { key: PALETTE_KEYS, description: frameStrings.palette },
    ...shortcuts,
    { key: "←  →", description: words.arrows },
    { key: "Esc", description: words.escape },
  ];
  return (
    <Dialog title={words.title} onClose={onClose}>
      <label className="mb-4 flex cursor-pointer items-start gap-3 rounded-lg bg-sunken p-3">
        <input
          type="checkbox"
          className="mt-0.5 size-4 flex-none accent-accent"
          checked={enabled}
          onChange={(event) => setShortcutsEnabled(event.target.checked)}
        />
        <span>
          <span className="block font-medium">{words.enabled}</span>
          <span className="text-muted">{words.enabledHint}</span>
        </span>
      </label>
      <dl className={`grid grid-cols-[auto_1fr] items-center gap-x-5 gap-y-2 ${enabled ? "" : "opacity-60"}`}>
        {rows.map(({ key, description }) => (
          <div key={key} className="contents">
            <dt>
              <Kbd>{key === " " ? strings.shortcuts.space : key}</Kbd>
            </dt>
            <dd>{description}</dd>
          </div>
        ))}
      </dl>
      <ul className="mt-5 flex flex-col gap-1.5 border-t border-line pt-4 text-muted">
        {words.notes.map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
    </Dialog>
  );
}
