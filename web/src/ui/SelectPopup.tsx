import { CSPProvider } from "@base-ui/react/csp-provider";
import { Select } from "@base-ui/react/select";
import type { RefObject } from "react";
import { Icon } from "./icons.tsx";
import { usePopupContainer } from "./popupContainer.ts";
import type { CloseDetails } from "./useLazyPopup.ts";

interface Props {
  label: string;
  value: string;
  options: { value: string; label: string }[];
  anchor: RefObject<HTMLButtonElement | null>;
  onOpenChange: (open: boolean, details: CloseDetails) => void;
  onChange: (value: string) => void;
}

export default function SelectPopup({ label, value, options, anchor, onOpenChange, onChange }: Props) {
  const container = usePopupContainer();
  return (
    // The content security policy allows no <style> elements.
    <CSPProvider disableStyleElements>
      <Select.Root
        open
        modal={false}
        value={value}
        onValueChange={(next) => next !== null && onChange(next)}
        onOpenChange={onOpenChange}
      >
        <Select.Portal container={container}>
          <Select.Positioner
            className="ui-positioner"
            anchor={anchor}
            alignItemWithTrigger={false}
            align="start"
            sideOffset={4}
            collisionPadding={8}
          >
            <Select.Popup className="ui-popup ui-menu" aria-label={label} finalFocus={anchor}>
              {options.map((option) => (
                <Select.Item key={option.value} value={option.value} className="ui-option">
                  <Select.ItemText className="flex-1">{option.label}</Select.ItemText>
                  <Select.ItemIndicator>
                    <Icon name="check" />
                  </Select.ItemIndicator>
                </Select.Item>
              ))}
            </Select.Popup>
          </Select.Positioner>
        </Select.Portal>
      </Select.Root>
    </CSPProvider>
  );
}
