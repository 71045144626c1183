import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { chooseProject, logOut } from "../api/session.ts";
import { filterWords } from "../frame/words.ts";
import { loadIdleParts, retryFailedParts } from "../lazyPart.ts";
import { localTimeZone } from "../lib/time.ts";
import { beginSessionEpoch, followSessionEpoch } from "../live/sessionEpoch.ts";
import { FREQUENT_PRESETS, isPast, rangeTitle, rangeWords } from "../query/range.ts";
import { strings } from "../strings.ts";
import { IconButton } from "../ui/Button.tsx";
import { Icon } from "../ui/icons.tsx";
import { PopupContainer } from "../ui/popupContainer.ts";
import { Toaster } from "../ui/Toaster.tsx";
import { showToast } from "../ui/toast.ts";
import { Banner } from "./Banner.tsx";
import { Header } from "./Header.tsx";
import { HelpDialog } from "./HelpDialog.tsx";
import { KioskBar } from "./KioskBar.tsx";
import { useKiosk } from "./kiosk.ts";
import { LogIn, useSession } from "./LogIn.tsx";
import { useConnection } from "./live.ts";
import { PanelIssuesProvider } from "./panelIssues.tsx";
import { PauseProvider, usePause } from "./pause.tsx";
import { ShortcutProvider, useShortcuts } from "./shortcuts.tsx";
import { useTheme } from "./useTheme.ts";
import { useRejected, useView } from "./view.ts";

/** What surrounds every page. */
export const Layout = ({ children }: { children: ReactNode }) => (
  <ShortcutProvider>
    <PauseProvider>
      <PanelIssuesProvider>
        <Shell>{children}</Shell>
      </PanelIssuesProvider>
    </PauseProvider>
  </ShortcutProvider>
);

function Shell({ children }: { children: ReactNode }) {
  const [view, setView] = useView();
  const { range, zone, wall = false } = view;
  const [theme, toggleTheme] = useTheme();
  const { toggle: togglePause } = usePause();
  const [helpOpen, setHelpOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const [popups, setPopups] = useState<HTMLElement | null>(null);
  const setWall = useCallback((on: boolean) => setView({ wall: on }), [setView]);
  const toggleKiosk = useKiosk(wall, setWall);
  const words = strings.shortcuts;
  const { phase } = useConnection().state;
  const session = useSession();
  useEffect(followSessionEpoch, []);
  const leave = () => {
    logOut().then(beginSessionEpoch, (failure: Error) =>
      showToast({ title: strings.logOutFailed(failure.message), type: "error" }),
    );
  };
  const switchTo = (name: string) => {
    chooseProject(name).then(beginSessionEpoch, (failure: Error) =>
      showToast({ title: strings.projectFailed(failure.message), type: "error" }),
    );
  };
  const { project: current = "", projects: all = [] } = session?.caller ?? {};
  const now = Date.now();
  const label = [rangeTitle(range, zone, now), ...(view.filters ?? []).map(filterWords)].join(" · ");

  useShortcuts([
    ...FREQUENT_PRESETS.map((name, index) => ({
      key: String(index + 1),
      description: rangeTitle(name, zone, 0),
      run: () => setView({ range: name }),
    })),
    { key: "z", description: words.zone, run: () => setView({ zone: zone === "UTC" ? localTimeZone() : "UTC" }) },
    { key: " ", description: words.pause, run: togglePause },
    { key: "t", description: words.theme, run: toggleTheme },
    { key: "f", description: words.kiosk, run: toggleKiosk },
    { key: "?", description: words.help, run: () => setHelpOpen(true) },
  ]);

  // Attempts to connect do not take away what is typed.
  if (session?.required && !session.caller && phase !== "live" && phase !== "polling")
    return <LogIn session={session} />;
  return (
    <PopupContainer value={popups ?? undefined}>
      <div className="shell">
        {!wall && (
          <>
            <button type="button" className="ui-button skip-link" onClick={() => main.current?.focus()}>
              {strings.skipToPanels}
            </button>
            <Header
              view={view}
              onView={setView}
              theme={theme}
              onTheme={toggleTheme}
              onKiosk={toggleKiosk}
              onHelp={() => setHelpOpen(true)}
              project={all.length > 1 ? { current, all, onChoose: switchTo } : undefined}
              onLogOut={session?.caller?.canLogOut ? leave : undefined}
            />
            <Banner zone={zone} />
          </>
        )}
        <main ref={main} tabIndex={-1} className="shell-main">
          {wall ? <h1 className="sr-only">{strings.product}</h1> : <RejectedNote />}
          {children}
          {wall && <KioskBar zone={zone} label={label} past={isPast(range, now)} onLeave={toggleKiosk} />}
          <div ref={setPopups} />
        </main>
        {helpOpen && <HelpDialog onClose={() => setHelpOpen(false)} />}
        <Toaster />
        <PartLoader />
      </div>
    </PopupContainer>
  );
}

/** After the first figures, because on a slow link popups would delay them. */
const IDLE_TIMEOUT_MS = 5_000;

/** Loads popups in advance, and again what could not be loaded while the server was away: a wall has nobody to retry. */
function PartLoader() {
  const { phase } = useConnection().state;
  const reachable = phase === "live" || phase === "polling";
  useEffect(() => {
    if (!reachable) return;
    retryFailedParts();
    // Safari has no idle callbacks.
    if (typeof requestIdleCallback === "undefined") {
      const timer = setTimeout(loadIdleParts, IDLE_TIMEOUT_MS);
      return () => clearTimeout(timer);
    }
    const callback = requestIdleCallback(loadIdleParts, { timeout: IDLE_TIMEOUT_MS });
    return () => cancelIdleCallback(callback);
  }, [reachable]);
  return null;
}

/** Says what a link requests and does not get: it would otherwise show another view than its sender saw. */
function RejectedNote() {
  const rejected = useRejected();
  const [{ range, zone }] = useView();
  // What is shown changes with the controls. The note keeps what the link got.
  const [got] = useState({ range: rangeWords(range, zone, Date.now()), zone });
  const [dismissed, setDismissed] = useState(false);
  const notes = [
    rejected.range && strings.unknownRange(rejected.range, got.range),
    rejected.interval && strings.invalidInterval(rejected.interval, got.range),
    rejected.compare && strings.unknownCompare(rejected.compare),
    rejected.filters && strings.invalidFilters(rejected.filters),
    rejected.zone && strings.unknownZone(rejected.zone, got.zone),
  ].filter(Boolean);
  if (notes.length === 0 || dismissed) return null;
  return (
    <div role="status" className="shell-note" data-note>
      <Icon name="warning" className="text-warn" />
      <p className="min-w-0 flex-1">{notes.join(" ")}</p>
      <IconButton icon="close" label={strings.dismiss} onClick={() => setDismissed(true)} />
    </div>
  );
}
