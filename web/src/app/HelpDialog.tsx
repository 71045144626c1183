import { Dialog } from "../panels/Dialog.tsx";
import type { KeyboardShortcut } from "./useKeyboardShortcuts.ts";

export function HelpDialog({ actions, onClose }: { actions: KeyboardShortcut[]; onClose: () => void }) {
  const rows = [
    ...actions.map(({ key, meaning }) => ({ key, meaning })),
    { key: "Esc", meaning: "Close what is open" },
  ];
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl className="grid grid-cols-[auto_1fr] gap-x-5 gap-y-2 text-sm">
        {rows.map(({ key, meaning }) => (
          <div key={key} className="contents">
            <dt>
              <kbd className="inline-block min-w-8 rounded-md border border-line-strong bg-sunken px-2 py-0.5 text-center font-mono">
                {key}
              </kbd>
            </dt>
            <dd className="text-muted">{meaning}</dd>
          </div>
        ))}
      </dl>
      <p className="mt-5 border-t border-line pt-4 text-sm text-muted">
        A dashed line or a hatched bar is a bucket that is still running. “≈” marks distinct counts that may be off by
        up to 1 %; all others are exact. The address has the range, the time zone and the enlarged panel: pass it on,
        and others see what you see.
      </p>
    </Dialog>
  );
}
