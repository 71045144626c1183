import { Popover } from "@base-ui/react/popover";
import type { ReactNode, RefObject } from "react";
import { usePopupContainer } from "./popupContainer.ts";
import type { CloseDetails } from "./useLazyPopup.ts";

interface Props {
  label: string;
  anchor: RefObject<HTMLButtonElement | null>;
  align: "start" | "center" | "end";
  onOpenChange: (open: boolean, details: CloseDetails) => void;
  children: ReactNode;
}

export default function PopoverPopup({ label, anchor, align, onOpenChange, children }: Props) {
  const container = usePopupContainer();
  return (
    <Popover.Root open onOpenChange={onOpenChange}>
      <Popover.Portal container={container}>
        <Popover.Positioner className="ui-positioner" anchor={anchor} align={align} sideOffset={6} collisionPadding={8}>
          <Popover.Popup className="ui-popup p-4" aria-label={label} finalFocus={anchor}>
            {children}
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}
