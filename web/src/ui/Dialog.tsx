import { lazy, type ReactNode, Suspense } from "react";

export interface DialogProps {
  title: string;
  onClose: () => void;
  /** Nearly as large as the window. */
  wide?: boolean;
  /** Controls in the header, before the close button. */
  actions?: ReactNode;
  children: ReactNode;
}

const loadDialog = () => import("./DialogPopup.tsx");
const DialogPopup = lazy(loadDialog);

/** Loads the dialog's code, for example when the pointer is over the button that opens it. */
export const preloadDialog = () => void loadDialog().catch(() => {});

/**
 * A modal dialog, open as long as it is rendered. It traps the focus and returns it; Escape closes the innermost one. The
 * content scrolls; the dialog itself never becomes wider than the window.
 */
export const Dialog = (props: DialogProps) => (
  <Suspense>
    <DialogPopup {...props} />
  </Suspense>
);
