import type { PanelInfo } from "../live/protocol.ts";
import { CopyButton } from "../ui/CopyButton.tsx";
import { Dialog } from "../ui/Dialog.tsx";

export default function SqlDialog({ info, onClose }: { info: PanelInfo; onClose: () => void }) {
  return (
    <Dialog title={`${info.title}: SQL`} onClose={onClose} actions={<CopyButton text={info.sql} />}>
      <pre
        className="min-h-0 min-w-0 overflow-auto rounded-lg bg-sunken p-4 text-xs leading-relaxed"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
        tabIndex={0}
      >
        {info.sql}
      </pre>
    </Dialog>
  );
}
