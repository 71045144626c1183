import { localTimeZone, RANGE_LABELS, RANGES, timeZoneLabel } from "../lib/time.ts";
import type { ConnectionStatus } from "../live/connectionStatus.ts";
import { ConnectionIndicator } from "./ConnectionIndicator.tsx";
import { ExpandIcon, HelpIcon, Logo, MoonIcon, SunIcon } from "./icons.tsx";
import { SegmentedControl } from "./SegmentedControl.tsx";
import type { UrlState } from "./urlState.ts";
import type { Theme } from "./useTheme.ts";

interface Props {
  urlState: UrlState;
  onUrlStateChange: (change: Partial<UrlState>) => void;
  connection: ConnectionStatus;
  panelTitle: (panel: string) => string;
  theme: Theme;
  onTheme: () => void;
  onWall: () => void;
  onHelp: () => void;
}

/** The browser's time zone, UTC, and the time zone in the URL if it is another one. */
export function timeZoneOptions(zone: string, home: string = localTimeZone()): string[] {
  return [...new Set([home, "UTC", zone])];
}

export function Header({ urlState, onUrlStateChange, connection, panelTitle, theme, onTheme, onWall, onHelp }: Props) {
  const ranges = RANGES.map((range) => ({ value: range, text: range, title: `The ${RANGE_LABELS[range]}` }));
  const zones = timeZoneOptions(urlState.zone).map((zone) => ({ value: zone, text: timeZoneLabel(zone), title: zone }));
  return (
    <header className="mx-auto flex w-full max-w-[1760px] in-data-wall:max-w-none flex-wrap items-center gap-x-3 gap-y-2 px-4 py-3 sm:px-6">
      <div className="flex items-center gap-2.5">
        <Logo />
        <h1 className="text-lg font-semibold tracking-tight">Millrace</h1>
      </div>
      <ConnectionIndicator connection={connection} panelTitle={panelTitle} zone={urlState.zone} />
      <div className="ml-auto flex items-center sm:order-last sm:ml-0">
        <button
          type="button"
          className="icon-button"
          aria-label={theme === "dark" ? "Light theme" : "Dark theme"}
          title="Theme (t)"
          onClick={onTheme}
        >
          {theme === "dark" ? <SunIcon /> : <MoonIcon />}
        </button>
        <button
          type="button"
          className="icon-button"
          aria-label="Wall mode"
          aria-pressed={urlState.wall}
          title="Wall mode (f)"
          onClick={onWall}
        >
          <ExpandIcon />
        </button>
        <button type="button" className="icon-button" aria-label="Help" title="Help (?)" onClick={onHelp}>
          <HelpIcon />
        </button>
      </div>
      <div className="flex flex-wrap items-center gap-2 sm:ml-auto">
        <SegmentedControl
          label="Time range"
          options={ranges}
          value={urlState.range}
          onChange={(range) => onUrlStateChange({ range })}
        />
        <SegmentedControl
          label="Time zone"
          options={zones}
          value={urlState.zone}
          onChange={(zone) => onUrlStateChange({ zone })}
        />
      </div>
    </header>
  );
}
