import { Dialog } from "../panels/Dialog.tsx";
import type { KeyboardShortcut } from "./useKeyboardShortcuts.ts";

export function HelpDialog({ shortcuts, onClose }: { shortcuts: KeyboardShortcut[]; onClose: () => void }) {
  const rows = [
    ...shortcuts.map(({ key, description }) => ({ key, description })),
    { key: "Esc", description: "Close the open dialog or menu" },
  ];
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <dl className="grid grid-cols-[auto_1fr] gap-x-5 gap-y-2 text-sm">
        {rows.map(({ key, description }) => (
          <div key={key} className="contents">
            <dt>
              <kbd className="inline-block min-w-8 rounded-md border border-line-strong bg-sunken px-2 py-0.5 text-center font-mono">
                {key}
              </kbd>
            </dt>
            <dd className="text-muted">{description}</dd>
          </div>
        ))}
      </dl>
      <p className="mt-5 border-t border-line pt-4 text-sm text-muted">
        A dashed line or a hatched bar marks a bucket that is not complete yet. “≈” marks distinct counts that may be
        off by up to 1 %; all other counts are exact. The URL contains the range, the time zone and the enlarged panel,
        so a shared link shows the same view.
      </p>
    </Dialog>
  );
}
