import { type ReactNode, useState } from "react";
import { toFailure } from "../../api/errors.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";

interface Props {
  title: string;
  children: ReactNode;
  /** Of the button that does it. */
  action: string;
  cancel: string;
  danger?: boolean;
  failed: (reason: string) => string;
  /** Closes the dialog unless it rejects. */
  onConfirm: () => Promise<void>;
  onClose: () => void;
}

/** Asks before something is done, and says why it could not be done. */
export function Confirm({ title, children, action, cancel, danger = false, failed, onConfirm, onClose }: Props) {
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const confirm = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await onConfirm();
    } catch (error) {
      setFailure(failed(toFailure(error).reason));
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="flex flex-col gap-4">
        {children}
        {failure && (
          <p role="alert" className="ui-error">
            {failure}
          </p>
        )}
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={onClose}>{cancel}</Button>
          <Button kind={danger ? "danger" : "primary"} disabled={busy} onClick={confirm}>
            {action}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
