// The controls that cards need. They are those of the old page until the kit of ui/ replaces them.

import type { ReactNode } from "react";
import { Dialog as OldDialog } from "../panels/Dialog.tsx";
import { Menu as OldMenu } from "../panels/Menu.tsx";

export interface MenuItem {
  label: string;
  onSelect: () => void;
}

export interface MenuProps {
  /** The name of the button. */
  label: string;
  items: MenuItem[];
}

export const Menu = ({ label, items }: MenuProps) => (
  <OldMenu label={label} items={items.map((item) => ({ label: item.label, run: item.onSelect }))} />
);

export interface DialogProps {
  title: string;
  onClose: () => void;
  wide?: boolean;
  actions?: ReactNode;
  children: ReactNode;
}

export const Dialog = (props: DialogProps) => <OldDialog {...props} />;
