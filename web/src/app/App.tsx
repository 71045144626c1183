import { useCallback, useEffect, useMemo, useState } from "react";
import { count } from "../lib/format.ts";
import { localZone, RANGE_NAMES, RANGES } from "../lib/time.ts";
import { connectionOf } from "../live/connection.ts";
import { useLive } from "../live/useLive.ts";
import { titleOf } from "../panels/registry.ts";
import { BrokenPanels } from "./BrokenPanels.tsx";
import { Enlarged } from "./Enlarged.tsx";
import { FirstMinutes } from "./firstMinutes/FirstMinutes.tsx";
import { Grid } from "./Grid.tsx";
import { Header } from "./Header.tsx";
import { Help } from "./Help.tsx";
import { type KeyAction, useKeys } from "./useKeys.ts";
import { useTheme } from "./useTheme.ts";
import { useView } from "./useView.ts";
import { useWall } from "./useWall.ts";

export function App() {
  const [view, setView] = useView();
  const { range, zone, panel, wall } = view;
  const { state, retry } = useLive({ range, zone });
  const [theme, toggleTheme] = useTheme();
  const setWall = useCallback((on: boolean) => setView({ wall: on }), [setView]);
  const toggleWall = useWall(wall, setWall);
  const [helps, setHelps] = useState(false);

  const display = useMemo(() => ({ range, zone }), [range, zone]);
  const enlarge = useCallback((name: string) => setView({ panel: name }), [setView]);
  const connection = connectionOf(state);
  const title = (name: string) =>
    titleOf(
      name,
      state.list?.panels.find((listed) => listed.name === name),
    );

  const active = state.panels.active_users?.value;
  const users = active?.case === "activeUsers" ? Number(active.value.activeUsers) : undefined;
  useEffect(() => {
    document.title = users === undefined ? "Millrace" : `${count(users)} active · Millrace`;
  }, [users]);

  const keys = useMemo<KeyAction[]>(
    () => [
      ...RANGES.map((name, index) => ({
        key: String(index + 1),
        meaning: `Show the ${RANGE_NAMES[name]}`,
        run: () => setView({ range: name }),
      })),
      {
        key: "z",
        meaning: "Switch between your time zone and UTC",
        run: () => setView({ zone: zone === "UTC" ? localZone() : "UTC" }),
      },
      { key: "f", meaning: "Wall mode: full screen and large type", run: toggleWall },
      { key: "t", meaning: "Switch between dark and light", run: toggleTheme },
      { key: "?", meaning: "This help", run: () => setHelps((shown) => !shown) },
    ],
    [setView, zone, toggleWall, toggleTheme],
  );
  useKeys(keys);

  const first = state.hasEvents === false;
  return (
    <div className={`flex flex-col ${wall ? "h-dvh min-h-0" : "min-h-dvh"}`}>
      <a href="#panels" className="skip-link">
        Skip to the panels
      </a>
      <Header
        view={view}
        onView={setView}
        connection={connection}
        titleOf={title}
        theme={theme}
        onTheme={toggleTheme}
        onWall={toggleWall}
        onHelp={() => setHelps(true)}
      />
      <main
        id="panels"
        tabIndex={-1}
        className="mx-auto flex w-full max-w-[1760px] in-data-wall:max-w-none min-h-0 flex-1 flex-col px-4 pb-6 sm:px-6"
      >
        {first ? (
          <FirstMinutes origin={window.location.origin} />
        ) : (
          <>
            {!wall && <BrokenPanels broken={state.list?.broken ?? []} />}
            <Grid state={state} display={display} wall={wall} onRetry={retry} onEnlarge={enlarge} />
          </>
        )}
      </main>
      {panel && !first && (
        <Enlarged
          key={panel}
          name={panel}
          state={state}
          display={display}
          onRetry={retry}
          onClose={() => setView({ panel: undefined })}
        />
      )}
      {helps && <Help actions={keys} onClose={() => setHelps(false)} />}
    </div>
  );
}
