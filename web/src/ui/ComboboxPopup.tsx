import { Combobox } from "@base-ui/react/combobox";
import { CSPProvider } from "@base-ui/react/csp-provider";
import { type RefObject, useMemo } from "react";
import type { Option } from "./Combobox.tsx";
import { Icon } from "./icons.tsx";
import { usePopupContainer } from "./popupContainer.ts";
import type { CloseDetails } from "./useLazyPopup.ts";

interface Props {
  label: string;
  value: string;
  options: () => Option[];
  onChange: (value: string) => void;
  placeholder: string;
  empty: string;
  anchor: RefObject<HTMLButtonElement | null>;
  onOpenChange: (open: boolean, details: CloseDetails) => void;
  onDone: () => void;
}

const searchText = ({ label, detail }: Option) => `${label} ${detail ?? ""}`;

export default function ComboboxPopup(props: Props) {
  const container = usePopupContainer();
  const { label, value, options, onChange, placeholder, empty, anchor, onOpenChange, onDone } = props;
  const items = useMemo(options, [options]);
  const selected = items.find((item) => item.value === value) ?? null;
  return (
    // The content security policy allows no <style> elements.
    <CSPProvider disableStyleElements>
      <Combobox.Root
        open
        onOpenChange={onOpenChange}
        items={items}
        value={selected}
        autoHighlight
        itemToStringLabel={searchText}
        isItemEqualToValue={(item, other) => item.value === other.value}
        onValueChange={(item) => {
          if (item) onChange(item.value);
          onDone();
        }}
      >
        <Combobox.Portal container={container}>
          <Combobox.Positioner
            className="ui-positioner"
            anchor={anchor}
            align="start"
            sideOffset={6}
            collisionPadding={8}
          >
            <Combobox.Popup className="ui-popup flex w-80 flex-col" aria-label={label} finalFocus={anchor}>
              <div className="relative m-2 flex-none">
                <Icon name="search" className="absolute top-1/2 left-2.5 -translate-y-1/2 text-muted" />
                <Combobox.Input className="ui-input pl-9" aria-label={label} placeholder={placeholder} />
              </div>
              <Combobox.Empty className="px-4 pb-3 text-muted empty:hidden">{empty}</Combobox.Empty>
              <Combobox.List className="max-h-72 min-h-0 overflow-auto px-1 pb-1 data-[empty]:hidden">
                {(item: Option) => (
                  <Combobox.Item key={item.value} value={item} className="ui-option">
                    <span className="min-w-0 flex-1 truncate">{item.label}</span>
                    <span className="text-xs text-muted">{item.detail}</span>
                    <Combobox.ItemIndicator>
                      <Icon name="check" />
                    </Combobox.ItemIndicator>
                  </Combobox.Item>
                )}
              </Combobox.List>
            </Combobox.Popup>
          </Combobox.Positioner>
        </Combobox.Portal>
      </Combobox.Root>
    </CSPProvider>
  );
}
