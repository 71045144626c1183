import { Menu } from "@base-ui/react/menu";
import { type RefObject, useRef } from "react";
import { Icon } from "./icons.tsx";
import { Kbd } from "./Kbd.tsx";
import type { MenuItem } from "./Menu.tsx";
import { usePopupContainer } from "./popupContainer.ts";
import type { CloseDetails } from "./useLazyPopup.ts";

interface Props {
  label: string;
  items: MenuItem[];
  anchor: RefObject<HTMLButtonElement | null>;
  onOpenChange: (open: boolean, details: CloseDetails) => void;
}

export default function MenuPopup({ label, items, anchor, onOpenChange }: Props) {
  const container = usePopupContainer();
  const selected = useRef(false);
  return (
    <Menu.Root open onOpenChange={onOpenChange}>
      <Menu.Portal container={container}>
        <Menu.Positioner className="ui-positioner" anchor={anchor} align="end" sideOffset={4} collisionPadding={8}>
          <Menu.Popup className="ui-popup ui-menu" aria-label={label} finalFocus={anchor}>
            {items.map(({ label: text, icon, shortcut, disabled, onSelect }) => (
              <Menu.Item
                key={text}
                className="ui-option"
                disabled={disabled}
                onClick={() => {
                  // Closing animations leave the item clickable for a moment.
                  if (selected.current) return;
                  selected.current = true;
                  onSelect();
                }}
              >
                {icon && <Icon name={icon} className="text-muted" />}
                {text}
                {shortcut && <Kbd>{shortcut}</Kbd>}
              </Menu.Item>
            ))}
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}
