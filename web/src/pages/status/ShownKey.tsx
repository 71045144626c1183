import { type Key, KeyScope } from "../../api/messages.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyButton } from "../../ui/CopyButton.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { usageOf } from "./keyUsage.ts";
import { strings } from "./strings.ts";

const words = strings.shownKey;

export interface ShownKeyProps {
  shown: Key;
  text: string;
  /** Whether the key existed before. */
  rotated: boolean;
  onClose: () => void;
}

const USES: Partial<Record<KeyScope, string>> = {
  [KeyScope.WRITE]: words.use.write,
  [KeyScope.BROWSER]: words.use.browser,
  [KeyScope.READ]: words.use.read,
  [KeyScope.ADMIN]: words.use.admin,
};

/** The text of a key, which nobody can see again, and what to do with it. */
export function ShownKey({ shown, text, rotated, onClose }: ShownKeyProps) {
  const usage = usageOf(shown.scope, text, new URL(document.baseURI).href.replace(/\/$/, ""));
  return (
    <Dialog title={words.title(shown.name || shown.id)} onClose={onClose}>
      <div className="flex flex-col gap-4">
        <p className="font-medium">{words.once}</p>
        <div className="flex flex-wrap items-center gap-2">
          <code className="min-w-0 flex-1 rounded-lg bg-sunken p-2 text-sm break-all" data-key-text="">
            {text}
          </code>
          <CopyButton text={text} />
        </div>
        <p>{USES[shown.scope]}</p>
        <pre className="overflow-x-auto rounded-lg bg-sunken p-2 text-xs">{usage}</pre>
        {rotated && <p className="text-muted">{words.rotated}</p>}
        <Button kind="primary" className="self-end" onClick={onClose}>
          {words.done}
        </Button>
      </div>
    </Dialog>
  );
}
