// A dialog whose content begins with a search field: no header, near the top of the window. Escape closes it.

import { Dialog } from "@base-ui/react/dialog";
import type { ReactNode, RefObject } from "react";

interface Props {
  /** Accessible name. */
  title: string;
  /** Gets the focus. */
  field: RefObject<HTMLInputElement | null>;
  onClose: () => void;
  children: ReactNode;
}

export const SearchDialog = ({ title, field, onClose, children }: Props) => (
  <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
    <Dialog.Portal>
      <Dialog.Backdrop className="ui-backdrop" forceRender />
      <Dialog.Popup initialFocus={field} className="ui-dialog ui-search-dialog">
        <Dialog.Title className="sr-only">{title}</Dialog.Title>
        {children}
      </Dialog.Popup>
    </Dialog.Portal>
  </Dialog.Root>
);
