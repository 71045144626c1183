import { localZone, RANGE_NAMES, RANGES, zoneName } from "../lib/time.ts";
import type { Connection } from "../live/connection.ts";
import type { View } from "./address.ts";
import { ConnectionLight } from "./ConnectionLight.tsx";
import { Expand, Mark, Moon, Question, Sun } from "./icons.tsx";
import { Segments } from "./Segments.tsx";
import type { Theme } from "./useTheme.ts";

interface Props {
  view: View;
  onView: (change: Partial<View>) => void;
  connection: Connection;
  titleOf: (panel: string) => string;
  theme: Theme;
  onTheme: () => void;
  onWall: () => void;
  onHelp: () => void;
}

/** UTC, the visitor's own zone, and the zone of the link where that is a third one. */
export function zonesFor(zone: string, home: string = localZone()): string[] {
  return [...new Set([home, "UTC", zone])];
}

export function Header({ view, onView, connection, titleOf, theme, onTheme, onWall, onHelp }: Props) {
  const ranges = RANGES.map((range) => ({ value: range, text: range, title: `The ${RANGE_NAMES[range]}` }));
  const zones = zonesFor(view.zone).map((zone) => ({ value: zone, text: zoneName(zone), title: zone }));
  return (
    <header className="mx-auto flex w-full max-w-[1760px] in-data-wall:max-w-none flex-wrap items-center gap-x-3 gap-y-2 px-4 py-3 sm:px-6">
      <div className="flex items-center gap-2.5">
        <Mark />
        <h1 className="text-lg font-semibold tracking-tight">Millrace</h1>
      </div>
      <ConnectionLight connection={connection} titleOf={titleOf} zone={view.zone} />
      <div className="ml-auto flex items-center sm:order-last sm:ml-0">
        <button
          type="button"
          className="icon-button"
          aria-label={theme === "dark" ? "Light theme" : "Dark theme"}
          title="Theme (t)"
          onClick={onTheme}
        >
          {theme === "dark" ? <Sun /> : <Moon />}
        </button>
        <button
          type="button"
          className="icon-button"
          aria-label="Wall mode"
          aria-pressed={view.wall}
          title="Wall mode (f)"
          onClick={onWall}
        >
          <Expand />
        </button>
        <button type="button" className="icon-button" aria-label="Help" title="Help (?)" onClick={onHelp}>
          <Question />
        </button>
      </div>
      <div className="flex flex-wrap items-center gap-2 sm:ml-auto">
        <Segments label="Time range" options={ranges} value={view.range} onChange={(range) => onView({ range })} />
        <Segments label="Time zone" options={zones} value={view.zone} onChange={(zone) => onView({ zone })} />
      </div>
    </header>
  );
}
