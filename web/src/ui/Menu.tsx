import { lazyPart } from "../lazyPart.ts";
import { OptionalPart } from "./ErrorBoundary.tsx";
import { Icon, type IconName } from "./icons.tsx";
import { useLazyPopup } from "./useLazyPopup.ts";

export interface MenuItem {
  label: string;
  onSelect: () => void;
  icon?: IconName;
  shortcut?: string;
  disabled?: boolean;
}

export interface MenuProps {
  /** Accessible name of the button and of the menu. */
  label: string;
  items: MenuItem[];
  className?: string;
}

const MenuPopup = lazyPart(() => import("./MenuPopup.tsx"), "idle");

/** A button with a menu of actions. */
export function Menu({ label, items, className = "" }: MenuProps) {
  const { open, setOpen, onOpenChange, trigger, triggerProps } = useLazyPopup(MenuPopup.preload, "menu");
  return (
    <>
      <button type="button" aria-label={label} className={`ui-icon-button ${className}`} {...triggerProps}>
        <Icon name="more" />
      </button>
      {open && (
        <OptionalPart onClose={() => setOpen(false)}>
          <MenuPopup label={label} items={items} anchor={trigger} onOpenChange={onOpenChange} />
        </OptionalPart>
      )}
    </>
  );
}
