// The way to the pages: a rail at the left, at the bottom on phones.

import { useLocation, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useSyncExternalStore } from "react";
import { Icon, type IconName, Logo } from "../ui/icons.tsx";
import { Tooltip } from "../ui/Tooltip.tsx";
import { PageLink } from "./PageLink.tsx";
import { readSetting, subscribeSettings, writeSetting } from "./storage.ts";
import { frameStrings } from "./strings.ts";
import { boardSearch, type Search, viewSearch } from "./view.ts";

export type PageName = keyof typeof frameStrings.pages;

interface Place {
  page: PageName;
  path: string;
  icon: IconName;
  /** The second key of "g d". */
  key: string;
}

export const PLACES: readonly Place[] = [
  { page: "dashboards", path: "/dashboards", icon: "dashboards", key: "d" },
  { page: "explore", path: "/explore", icon: "explore", key: "e" },
  { page: "live", path: "/live", icon: "live", key: "l" },
  { page: "people", path: "/people", icon: "people", key: "p" },
  { page: "status", path: "/status", icon: "health", key: "h" },
];

/** The place that a path belongs to. "/" is a dashboard. */
export function placeOf(path: string): PageName | undefined {
  if (path === "/") return "dashboards";
  return PLACES.find((place) => path === place.path || path.startsWith(`${place.path}/`))?.page;
}

const SETTING = "rail";
const isPinned = (): boolean => readSetting(SETTING) === "pinned";

/** Whether the rail shows the names. `public/theme.js` reads it before the first paint. */
function usePinned(): [boolean, () => void] {
  const pinned = useSyncExternalStore(subscribeSettings, isPinned);
  useEffect(() => {
    if (pinned) document.documentElement.dataset.rail = "pinned";
    else delete document.documentElement.dataset.rail;
  }, [pinned]);
  const toggle = useCallback(() => writeSetting(SETTING, isPinned() ? null : "pinned"), []);
  return [pinned, toggle];
}

export function Navigation() {
  const [pinned, togglePinned] = usePinned();
  const current = placeOf(useLocation().pathname);
  const search = useSearch({ strict: false }) as Search;
  const kept = viewSearch(search);
  return (
    <nav className="rail" aria-label={frameStrings.navigation}>
      <PageLink to="/" search={boardSearch(search)} className="rail-mark" aria-label="Millrace">
        <Logo />
        <span aria-hidden="true">Millrace</span>
      </PageLink>
      <ul className="rail-list">
        {PLACES.map(({ page, path, icon, key }) => (
          <li key={page}>
            <Hint text={`${frameStrings.pages[page]} (g ${key})`} shown={!pinned}>
              <PageLink
                to={path}
                search={kept}
                className="rail-link"
                aria-label={frameStrings.pages[page]}
                aria-current={current === page ? "page" : undefined}
                data-page={page}
              >
                <Icon name={icon} />
                <span className="rail-name" aria-hidden="true">
                  {frameStrings.pages[page]}
                </span>
                <span className="rail-short" aria-hidden="true">
                  {frameStrings.shortPages[page]}
                </span>
              </PageLink>
            </Hint>
          </li>
        ))}
      </ul>
      <div className="rail-foot">
        <Hint text={frameStrings.pin} shown={!pinned}>
          <button
            type="button"
            className="rail-link"
            aria-label={pinned ? frameStrings.unpin : frameStrings.pin}
            aria-expanded={pinned}
            onClick={togglePinned}
          >
            <Icon name="sidebar" />
          </button>
        </Hint>
      </div>
    </nav>
  );
}

/** A tooltip where the name is not shown beside the icon. */
const Hint = ({ text, shown, children }: { text: string; shown: boolean; children: React.ReactNode }) =>
  shown ? <Tooltip text={text}>{children}</Tooltip> : children;
