// The bar above every page: its name, what is shown, and whether that is current.

import { strings } from "../strings.ts";
import { Button, IconButton } from "../ui/Button.tsx";
import { preloadDialog } from "../ui/Dialog.tsx";
import { Menu, type MenuItem } from "../ui/Menu.tsx";
import { Select } from "../ui/Select.tsx";
import { CompareControl } from "./CompareControl.tsx";
import { FilterChips, FilterControl } from "./Filters.tsx";
import { useCatalog, useConnection } from "./live.ts";
import { type BarControl, Slot, useDeclared } from "./Page.tsx";
import { PALETTE_KEYS } from "./palette/keys.ts";
import { usePause, useWaiting } from "./pause.tsx";
import { RangeControl } from "./RangeControl.tsx";
import { ShareControl } from "./ShareControl.tsx";
import { StatusIndicator } from "./StatusIndicator.tsx";
import { frameStrings } from "./strings.ts";
import type { Theme } from "./useTheme.ts";
import type { View } from "./view.ts";
import { ZoneControl } from "./ZoneControl.tsx";

interface Props {
  view: View;
  onView: (change: Partial<View>) => void;
  theme: Theme;
  onTheme: () => void;
  onKiosk: () => void;
  onHelp: () => void;
  onPalette: () => void;
  /** Undefined if there is no choice. */
  project: { current: string; all: string[]; onChoose: (project: string) => void } | undefined;
  /** Undefined without a session. */
  onLogOut: (() => void) | undefined;
}

/** Always in sight. The order of the controls is the order of the focus. */
export function Bar({ view, onView, theme, onTheme, onKiosk, onHelp, onPalette, project, onLogOut }: Props) {
  const { paused, toggle } = usePause();
  const waiting = useWaiting();
  const { hasEvents } = useConnection();
  const { catalog } = useCatalog();
  const declared = useDeclared();
  // A range of nothing is noise.
  const uses = (control: BarControl) =>
    hasEvents !== false && declared !== undefined && declared.uses.includes(control);
  const compare = uses("compare") && (
    <CompareControl compare={view.compare} onChange={(next) => onView({ compare: next })} />
  );
  const zone = uses("zone") && <ZoneControl zone={view.zone} onChange={(next) => onView({ zone: next })} />;
  const pauseLabel = paused ? strings.resume : strings.pause;
  const themeLabel = strings.theme[theme];
  const themeIcon = theme === "dark" ? "sun" : "moon";
  const kiosk: MenuItem[] = uses("kiosk") ? [{ label: strings.kiosk, icon: "expand", onSelect: onKiosk }] : [];
  const always: MenuItem[] = [
    { label: themeLabel, icon: themeIcon, onSelect: onTheme, shortcut: "t" },
    { label: strings.help, icon: "help", onSelect: onHelp, shortcut: "?" },
    ...(onLogOut ? [{ label: strings.logOut, icon: "leave" as const, onSelect: onLogOut }] : []),
  ];
  const projects: MenuItem[] = (project?.all ?? [])
    .filter((name) => name !== project?.current)
    .map((name) => ({ label: frameStrings.switchProject(name), onSelect: () => project?.onChoose(name) }));
  return (
    <header>
      <div className="bar">
        {project && (
          <Select
            label={strings.project}
            value={project.current}
            options={project.all.map((name) => ({ value: name, label: name }))}
            onChange={project.onChoose}
            className="ui-button-quiet bar-project"
          >
            <span className="truncate">{project.current}</span>
          </Select>
        )}
        <h1 className="bar-name" title={declared?.name}>
          {declared?.name ?? strings.product}
        </h1>
        <Slot name="nameExtra" />
        {uses("filters") && (
          <FilterControl catalog={catalog} view={view} values={declared?.filterValues} onView={onView} />
        )}
        {/* What changes by itself is left of the controls, so that they stay where they are. */}
        <span className="bar-space" />
        {paused && (
          <Button icon="play" aria-pressed onClick={toggle}>
            <span className="max-sm:sr-only">{strings.paused(waiting)}</span>
          </Button>
        )}
        <Slot name="span" className="bar-span" />
        <StatusIndicator zone={view.zone} />
        {uses("range") && (
          <RangeControl
            range={view.range}
            zone={view.zone}
            onChange={(range) => onView({ range })}
            extras={
              (compare || zone) && (
                <>
                  {compare}
                  {zone}
                </>
              )
            }
          />
        )}
        {compare}
        {zone}
        <Slot name="actions" />
        <ShareControl />
        <IconButton
          icon="command"
          label={frameStrings.palette}
          shortcut={PALETTE_KEYS}
          className="bar-palette"
          onClick={onPalette}
        />
        <div className="bar-icons">
          {uses("pause") && (
            <IconButton
              icon={paused ? "play" : "pause"}
              label={pauseLabel}
              shortcut={strings.shortcuts.space}
              onClick={toggle}
            />
          )}
          {uses("kiosk") && (
            <IconButton icon="expand" label={strings.kiosk} onPointerEnter={preloadDialog} onClick={onKiosk} />
          )}
          <IconButton icon={themeIcon} label={themeLabel} shortcut="t" onClick={onTheme} />
          <IconButton icon="help" label={strings.help} shortcut="?" onPointerEnter={preloadDialog} onClick={onHelp} />
          {onLogOut && <IconButton icon="leave" label={strings.logOut} onClick={onLogOut} />}
        </div>
        <div className="bar-more">
          <Menu
            label={frameStrings.more}
            items={[
              { label: frameStrings.palette, icon: "search", onSelect: onPalette },
              ...(uses("pause") || paused
                ? [{ label: pauseLabel, icon: paused ? ("play" as const) : ("pause" as const), onSelect: toggle }]
                : []),
              ...kiosk,
              ...always,
              ...projects,
            ]}
          />
        </div>
      </div>
      {uses("filters") && <FilterChips catalog={catalog} view={view} onView={onView} />}
    </header>
  );
}
