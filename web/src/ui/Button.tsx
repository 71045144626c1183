import type { ComponentProps } from "react";
import { Icon, type IconName } from "./icons.tsx";
import { Tooltip } from "./Tooltip.tsx";

export interface ButtonProps extends ComponentProps<"button"> {
  kind?: "default" | "primary" | "quiet" | "danger";
  icon?: IconName;
}

export const Button = ({ kind = "default", icon, className = "", children, ...props }: ButtonProps) => (
  <button type="button" className={`ui-button ui-button-${kind} ${className}`} {...props}>
    {icon && <Icon name={icon} />}
    {children}
  </button>
);

export interface IconButtonProps extends Omit<ComponentProps<"button">, "children" | "title"> {
  icon: IconName;
  /** Accessible name, also shown as the tooltip. */
  label: string;
  /** Shown in the tooltip. */
  shortcut?: string;
}

export const IconButton = ({ icon, label, shortcut, className = "", ...props }: IconButtonProps) => (
  <Tooltip text={shortcut ? `${label} (${shortcut})` : label}>
    <button type="button" aria-label={label} className={`ui-icon-button ${className}`} {...props}>
      <Icon name={icon} />
    </button>
  </Tooltip>
);
