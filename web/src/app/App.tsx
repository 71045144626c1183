import { useCallback, useEffect, useMemo, useState } from "react";
import { formatCount } from "../lib/format.ts";
import { localTimeZone, RANGE_LABELS, RANGES } from "../lib/time.ts";
import { connectionStatus } from "../live/connectionStatus.ts";
import { useLivePanels } from "../live/useLivePanels.ts";
import { panelTitle } from "../panels/registry.ts";
import { BrokenPanels } from "./BrokenPanels.tsx";
import { EnlargedPanel } from "./EnlargedPanel.tsx";
import { GettingStarted } from "./gettingStarted/GettingStarted.tsx";
import { Header } from "./Header.tsx";
import { HelpDialog } from "./HelpDialog.tsx";
import { PanelGrid } from "./PanelGrid.tsx";
import { type KeyboardShortcut, useKeyboardShortcuts } from "./useKeyboardShortcuts.ts";
import { useTheme } from "./useTheme.ts";
import { useUrlState } from "./useUrlState.ts";
import { useWallMode } from "./useWallMode.ts";

export function App() {
  const [urlState, setUrlState] = useUrlState();
  const { range, zone, panel, wall } = urlState;
  const { state, retry } = useLivePanels({ range, zone });
  const [theme, toggleTheme] = useTheme();
  const setWall = useCallback((on: boolean) => setUrlState({ wall: on }), [setUrlState]);
  const toggleWall = useWallMode(wall, setWall);
  const [helpOpen, setHelpOpen] = useState(false);

  const display = useMemo(() => ({ range, zone }), [range, zone]);
  const enlarge = useCallback((name: string) => setUrlState({ panel: name }), [setUrlState]);
  const connection = connectionStatus(state);
  const titleByName = (name: string) =>
    panelTitle(
      name,
      state.list?.panels.find((listed) => listed.name === name),
    );

  const activeUsers = state.panels.active_users?.value;
  const users = activeUsers?.case === "activeUsers" ? Number(activeUsers.value.activeUsers) : undefined;
  useEffect(() => {
    document.title = users === undefined ? "Millrace" : `${formatCount(users)} active · Millrace`;
  }, [users]);

  const shortcuts = useMemo<KeyboardShortcut[]>(
    () => [
      ...RANGES.map((name, index) => ({
        key: String(index + 1),
        description: `Show the ${RANGE_LABELS[name]}`,
        run: () => setUrlState({ range: name }),
      })),
      {
        key: "z",
        description: "Switch between your time zone and UTC",
        run: () => setUrlState({ zone: zone === "UTC" ? localTimeZone() : "UTC" }),
      },
      { key: "f", description: "Wall mode: full screen with large type", run: toggleWall },
      { key: "t", description: "Switch between the dark and light theme", run: toggleTheme },
      { key: "?", description: "Show or hide this help", run: () => setHelpOpen((shown) => !shown) },
    ],
    [setUrlState, zone, toggleWall, toggleTheme],
  );
  useKeyboardShortcuts(shortcuts);

  const noEvents = state.hasEvents === false;
  return (
    <div className={`flex flex-col ${wall ? "h-dvh min-h-0" : "min-h-dvh"}`}>
      <a href="#panels" className="skip-link">
        Skip to the panels
      </a>
      <Header
        urlState={urlState}
        onUrlStateChange={setUrlState}
        connection={connection}
        panelTitle={titleByName}
        theme={theme}
        onTheme={toggleTheme}
        onWall={toggleWall}
        onHelp={() => setHelpOpen(true)}
      />
      <main
        id="panels"
        tabIndex={-1}
        className="mx-auto flex w-full max-w-[1760px] in-data-wall:max-w-none min-h-0 flex-1 flex-col px-4 pb-6 sm:px-6"
      >
        {noEvents ? (
          <GettingStarted origin={window.location.origin} />
        ) : (
          <>
            {!wall && <BrokenPanels broken={state.list?.broken ?? []} />}
            <PanelGrid state={state} display={display} wall={wall} onRetry={retry} onEnlarge={enlarge} />
          </>
        )}
      </main>
      {panel && !noEvents && (
        <EnlargedPanel
          key={panel}
          name={panel}
          state={state}
          display={display}
          onRetry={retry}
          onClose={() => setUrlState({ panel: undefined })}
        />
      )}
      {helpOpen && <HelpDialog shortcuts={shortcuts} onClose={() => setHelpOpen(false)} />}
    </div>
  );
}
