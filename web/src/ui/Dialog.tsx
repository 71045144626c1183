import type { ReactNode } from "react";
import { lazyPart } from "../lazyPart.ts";
import { OptionalPart } from "./ErrorBoundary.tsx";

export interface DialogProps {
  title: string;
  onClose: () => void;
  /** Nearly as large as the window. */
  wide?: boolean;
  /** Controls in the header, before the close button. */
  actions?: ReactNode;
  children: ReactNode;
}

const DialogPopup = lazyPart(() => import("./DialogPopup.tsx"), "idle");

/** Loads the dialog's code, for example when the pointer is over the button that opens it. */
export const preloadDialog = DialogPopup.preload;

/**
 * A modal dialog, open as long as it is rendered. It traps the focus and returns it; Escape closes the innermost one. The
 * content scrolls; the dialog itself never becomes wider than the window.
 */
export const Dialog = (props: DialogProps) => (
  <OptionalPart onClose={props.onClose}>
    <DialogPopup {...props} />
  </OptionalPart>
);
