import { useSearch } from "@tanstack/react-router";
import { lazyPart } from "../lazyPart.ts";
import { Icon } from "../ui/icons.tsx";
import { Popover } from "../ui/Popover.tsx";
import { useShownSpan } from "./Page.tsx";
import { frameStrings } from "./strings.ts";
import type { Search } from "./view.ts";

const SharePopup = lazyPart(() => import("./share/SharePopup.tsx"), "idle");

/** A link to what is on the screen. */
export function ShareControl({ className = "" }: { className?: string }) {
  const search = useSearch({ strict: false }) as Search;
  const shown = useShownSpan();
  return (
    <Popover
      label={frameStrings.share}
      aria-label={frameStrings.share}
      title={`${frameStrings.share} (s)`}
      className={`ui-icon-button ${className}`}
      data-share=""
      align="end"
      content={() => <SharePopup search={search} shown={shown()} />}
    >
      <Icon name="share" />
    </Popover>
  );
}

/** Opens it, for a key or a command. */
export const openShare = (): void => document.querySelector<HTMLElement>(".bar [data-share]")?.click();
