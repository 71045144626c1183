import { Dialog } from "@base-ui/react/dialog";
import { useRef } from "react";
import { strings } from "../strings.ts";
import type { DialogProps } from "./Dialog.tsx";
import { Icon } from "./icons.tsx";
import { PopupContainer } from "./popupContainer.ts";

export default function DialogPopup({ title, onClose, wide, actions, children }: DialogProps) {
  const popup = useRef<HTMLDivElement>(null);
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="ui-backdrop" forceRender />
        {/* The dialog itself gets the focus: focusing a control inside could scroll the content before it is read. */}
        <Dialog.Popup ref={popup} initialFocus={popup} className={`ui-dialog ${wide ? "ui-dialog-wide" : ""}`}>
          <header>
            <Dialog.Title>{title}</Dialog.Title>
            {actions}
            <Dialog.Close className="ui-icon-button" aria-label={strings.close}>
              <Icon name="close" />
            </Dialog.Close>
          </header>
          <div className="ui-dialog-body">
            <PopupContainer value={undefined}>{children}</PopupContainer>
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
