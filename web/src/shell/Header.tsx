import { strings } from "../strings.ts";
import { Button, IconButton } from "../ui/Button.tsx";
import { preloadDialog } from "../ui/Dialog.tsx";
import { Logo } from "../ui/icons.tsx";
import { Menu } from "../ui/Menu.tsx";
import { Select } from "../ui/Select.tsx";
import { useConnection } from "./live.ts";
import { usePause, useWaiting } from "./pause.tsx";
import { RangeControl } from "./RangeControl.tsx";
import { StatusIndicator } from "./StatusIndicator.tsx";
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
  /** Undefined if there is no choice. */
  project: { current: string; all: string[]; onChoose: (project: string) => void } | undefined;
  /** Undefined without a session. */
  onLogOut: (() => void) | undefined;
}

/** Always in sight. The order of the controls is the order of the focus. */
export function Header({ view, onView, theme, onTheme, onKiosk, onHelp, project, onLogOut }: Props) {
  const { paused, toggle } = usePause();
  const waiting = useWaiting();
  const { hasEvents } = useConnection();
  const pauseLabel = paused ? strings.resume : strings.pause;
  return (
    <header className="shell-header">
      <h1 className="shell-mark lg:mr-2">
        <Logo />
        <span className="max-lg:sr-only">{strings.product}</span>
      </h1>
      {project && (
        <Select
          label={strings.project}
          value={project.current}
          options={project.all.map((name) => ({ value: name, label: name }))}
          onChange={project.onChoose}
          className="min-w-0 max-w-48 max-sm:max-w-24"
        >
          <span className="truncate">{project.current}</span>
        </Select>
      )}
      {/* A range of nothing is noise. */}
      {hasEvents !== false && (
        <>
          <RangeControl range={view.range} zone={view.zone} onChange={(range) => onView({ range })} />
          <ZoneControl zone={view.zone} onChange={(zone) => onView({ zone })} />
        </>
      )}
      <span className="flex-1" />
      <StatusIndicator zone={view.zone} />
      {paused && (
        <Button icon="play" aria-pressed onClick={toggle}>
          <span className="max-sm:sr-only">{strings.paused(waiting)}</span>
        </Button>
      )}
      <div className="flex flex-none items-center max-sm:hidden">
        {!paused && hasEvents !== false && (
          <IconButton icon="pause" label={pauseLabel} shortcut={strings.shortcuts.space} onClick={toggle} />
        )}
        <IconButton
          icon={theme === "dark" ? "sun" : "moon"}
          label={strings.theme[theme]}
          shortcut="t"
          onClick={onTheme}
        />
        <IconButton icon="expand" label={strings.kiosk} shortcut="f" onClick={onKiosk} />
        <IconButton icon="help" label={strings.help} shortcut="?" onPointerEnter={preloadDialog} onClick={onHelp} />
        {onLogOut && <IconButton icon="leave" label={strings.logOut} onClick={onLogOut} />}
      </div>
      <div className="flex-none sm:hidden">
        <Menu
          label="More"
          items={[
            { label: pauseLabel, icon: paused ? "play" : "pause", onSelect: toggle },
            { label: strings.theme[theme], icon: theme === "dark" ? "sun" : "moon", onSelect: onTheme },
            { label: strings.kiosk, icon: "expand", onSelect: onKiosk },
            { label: strings.help, icon: "help", onSelect: onHelp },
            ...(onLogOut ? [{ label: strings.logOut, icon: "leave" as const, onSelect: onLogOut }] : []),
          ]}
        />
      </div>
    </header>
  );
}
