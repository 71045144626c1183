import { Tooltip } from "@base-ui/react/tooltip";
import type { RefObject } from "react";
import { usePopupContainer } from "./popupContainer.ts";

interface Props {
  text: string;
  anchor: RefObject<HTMLElement | null>;
  onClose: () => void;
}

export default function TooltipPopup({ text, anchor, onClose }: Props) {
  const container = usePopupContainer();
  return (
    <Tooltip.Root open onOpenChange={(open) => !open && onClose()}>
      <Tooltip.Portal container={container}>
        <Tooltip.Positioner className="ui-positioner" anchor={anchor} sideOffset={6} collisionPadding={8}>
          <Tooltip.Popup className="ui-tooltip">{text}</Tooltip.Popup>
        </Tooltip.Positioner>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}
