import { useNavigate, useSearch } from "@tanstack/react-router";
import { type ReactNode, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { chooseProject, logOut } from "../api/session.ts";
import { AnnotationsContext } from "../charts/annotations.ts";
import { filterWords } from "../frame/words.ts";
import { lazyPart, loadIdleParts, retryFailedParts } from "../lazyPart.ts";
import { localTimeZone } from "../lib/time.ts";
import { notifyReachable } from "../live/reachable.ts";
import { beginSessionEpoch, followSessionEpoch } from "../live/sessionEpoch.ts";
import { FREQUENT_PRESETS, isPast, rangeTitle, rangeWords } from "../query/range.ts";
import { strings } from "../strings.ts";
import { Button, IconButton } from "../ui/Button.tsx";
import { ErrorBoundary, OptionalPart } from "../ui/ErrorBoundary.tsx";
import { Icon, type IconName } from "../ui/icons.tsx";
import { EmptyState } from "../ui/placeholders.tsx";
import { PopupContainer } from "../ui/popupContainer.ts";
import { Toaster } from "../ui/Toaster.tsx";
import { showToast } from "../ui/toast.ts";
import { useAnnotationParts } from "./annotations/useAnnotationParts.tsx";
import { Banner } from "./Banner.tsx";
import { Bar } from "./Bar.tsx";
import { type BeforeWall, useKiosk } from "./kiosk.ts";
import { useConnection } from "./live.ts";
import { Navigation, PLACES } from "./Navigation.tsx";
import { type BarControl, BarProvider, useDeclared } from "./Page.tsx";
import type { Command } from "./palette/commands.ts";
import { isPaletteKey } from "./palette/keys.ts";
import { PanelIssuesProvider } from "./panelIssues.tsx";
import { PauseProvider, usePause } from "./pause.tsx";
import { openRange, useSteps } from "./RangeControl.tsx";
import { openShare } from "./ShareControl.tsx";
import { type Shortcut, ShortcutProvider, useShortcuts } from "./shortcuts.tsx";
import { frameStrings } from "./strings.ts";
import { SessionContext, useFetchedSession } from "./useSession.ts";
import { useTheme } from "./useTheme.ts";
import { type Search, useRejected, useView, viewSearch } from "./view.ts";

const LogIn = lazyPart(() => import("./LogIn.tsx"));
const Wall = lazyPart(() => import("./kiosk/Wall.tsx"), "idle");
const RejectedWords = lazyPart(() => import("./RejectedWords.tsx"));
const HelpDialog = lazyPart(() => import("./HelpDialog.tsx"), "idle");
const KioskDialog = lazyPart(() => import("./kiosk/KioskDialog.tsx"), "idle");
const CommandPalette = lazyPart(() => import("./palette/CommandPalette.tsx"), "idle");

const command = (title: string, icon: IconName | undefined, keys: string | undefined, run: () => void): Command => ({
  section: "commands",
  title,
  icon,
  keys,
  run,
});

/** What surrounds every page. */
export const Layout = ({ children }: { children: ReactNode }) => (
  <ShortcutProvider>
    <PauseProvider>
      <PanelIssuesProvider>
        <BarProvider>
          <Shell>{children}</Shell>
        </BarProvider>
      </PanelIssuesProvider>
    </PauseProvider>
  </ShortcutProvider>
);

function Shell({ children }: { children: ReactNode }) {
  const [view, setView] = useView();
  const { range, zone, wall = false } = view;
  const [theme, toggleTheme] = useTheme();
  const { paused, toggle: togglePause } = usePause();
  const [helpOpen, setHelpOpen] = useState(false);
  const [paletteOpen, setPaletteOpen] = useState(false);
  const [kioskOpen, setKioskOpen] = useState(false);
  const navigate = useNavigate();
  const search = useSearch({ strict: false }) as Search;
  const main = useRef<HTMLElement>(null);
  const [popups, setPopups] = useState<HTMLElement | null>(null);
  const before = useRef<BeforeWall>(undefined);
  const setWall = useCallback(
    (on: boolean) =>
      setView(on ? { wall: true } : { wall: false, rotate: undefined, every: undefined, ...before.current?.() }),
    [setView],
  );
  const toggleKiosk = useKiosk(wall, setWall);
  const words = strings.shortcuts;
  const declared = useDeclared();
  const uses = (control: BarControl) => declared?.uses.includes(control) ?? false;
  const { phase } = useConnection().state;
  const session = useFetchedSession();
  const { annotations, open: openAnnotations, parts: annotationParts } = useAnnotationParts(session, uses("range"));
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
  const compared = view.compare ? [strings.compare[view.compare]] : [];
  const label = [rangeTitle(range, zone, now), ...compared, ...(view.filters ?? []).map(filterWords)].join(" · ");

  const { back, forward } = useSteps(range, zone);
  // Keys do only what the page shows.
  const only = (control: BarControl, shortcut: Shortcut): Shortcut[] => (uses(control) ? [shortcut] : []);
  useShortcuts([
    ...(uses("range") ? FREQUENT_PRESETS : []).map((name, index) => ({
      key: String(index + 1),
      description: rangeTitle(name, zone, 0),
      run: () => setView({ range: name }),
    })),
    ...only("range", { key: "r", description: frameStrings.openRange, run: openRange }),
    ...only("range", {
      key: "[",
      description: frameStrings.steps.backDescription,
      run: () => back && setView({ range: back }),
    }),
    ...only("range", {
      key: "]",
      description: frameStrings.steps.forwardDescription,
      run: () => forward && setView({ range: forward }),
    }),
    ...only("zone", {
      key: "z",
      description: words.zone,
      run: () => setView({ zone: zone === "UTC" ? localTimeZone() : "UTC" }),
    }),
    ...only("pause", { key: " ", description: words.pause, run: togglePause }),
    { key: "s", description: frameStrings.shareDescription, run: openShare },
    ...PLACES.map(({ page, path, key }) => ({
      key: `g ${key}`,
      description: frameStrings.goTo(frameStrings.pages[page]),
      run: () => void navigate({ to: path, search: viewSearch(search) as never }),
    })),
    { key: "t", description: words.theme, run: toggleTheme },
    ...only("kiosk", { key: "f", description: words.kiosk, run: toggleKiosk }),
    { key: "?", description: words.help, run: () => setHelpOpen(true) },
  ]);

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (!isPaletteKey(event)) return;
      // Browsers have the same key for their own search.
      event.preventDefault();
      setPaletteOpen((open) => !open && !document.querySelector("[role=dialog], [role=alertdialog]"));
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, []);
  const commands: Command[] = [
    ...(uses("pause")
      ? [command(paused ? strings.resume : strings.pause, paused ? "play" : "pause", words.space, togglePause)]
      : []),
    command(frameStrings.share, "share", "s", () => requestAnimationFrame(openShare)),
    ...(uses("kiosk")
      ? [
          command(strings.kiosk, "expand", "f", toggleKiosk),
          command(frameStrings.rotate, "dashboards", undefined, () => setKioskOpen(true)),
        ]
      : []),
    ...(uses("range") ? [command(frameStrings.annotations, undefined, undefined, openAnnotations)] : []),
    command(strings.theme[theme], theme === "dark" ? "sun" : "moon", "t", toggleTheme),
    command(strings.help, "help", "?", () => setHelpOpen(true)),
    ...(session?.caller?.canLogOut ? [command(strings.logOut, "leave", undefined, leave)] : []),
    ...all
      .filter((name) => name !== current)
      .map((name) => command(frameStrings.switchProject(name), undefined, undefined, () => switchTo(name))),
  ];

  // Attempts to connect do not take away what is typed.
  if (session?.required && !session.caller && phase !== "live" && phase !== "polling")
    return (
      <ErrorBoundary
        fallback={(_, retry) => (
          <EmptyState title={strings.partFailed} action={<Button onClick={retry}>{strings.retry}</Button>} />
        )}
      >
        <Suspense>
          <LogIn session={session} />
        </Suspense>
      </ErrorBoundary>
    );
  return (
    <PopupContainer value={popups ?? undefined}>
      <div className="shell">
        {!wall && (
          <>
            <button type="button" className="ui-button skip-link" onClick={() => main.current?.focus()}>
              {frameStrings.skip}
            </button>
            <Navigation />
          </>
        )}
        <div className="shell-page">
          {!wall && (
            <div className="shell-top">
              <Bar
                view={view}
                onView={setView}
                theme={theme}
                onTheme={toggleTheme}
                onKiosk={() => setKioskOpen(true)}
                onHelp={() => setHelpOpen(true)}
                onPalette={() => setPaletteOpen(true)}
                project={all.length > 1 ? { current, all, onChoose: switchTo } : undefined}
                onLogOut={session?.caller?.canLogOut ? leave : undefined}
              />
              <Banner zone={zone} />
            </div>
          )}
          <main ref={main} tabIndex={-1} className="shell-main">
            {wall ? <h1 className="sr-only">{declared?.name ?? strings.product}</h1> : <RejectedNote />}
            <SessionContext value={session}>
              <AnnotationsContext value={annotations}>{children}</AnnotationsContext>
            </SessionContext>
            {wall && (
              <OptionalPart>
                <Wall
                  view={view}
                  name={declared?.name ?? strings.product}
                  label={label}
                  past={isPast(range, now)}
                  onLeave={toggleKiosk}
                />
              </OptionalPart>
            )}
            <div ref={setPopups} />
          </main>
        </div>
        {paletteOpen && (
          <OptionalPart onClose={() => setPaletteOpen(false)}>
            <CommandPalette commands={commands} onClose={() => setPaletteOpen(false)} />
          </OptionalPart>
        )}
        {kioskOpen && (
          <OptionalPart onClose={() => setKioskOpen(false)}>
            <KioskDialog view={view} before={before} onThisPage={toggleKiosk} onClose={() => setKioskOpen(false)} />
          </OptionalPart>
        )}
        {helpOpen && (
          <OptionalPart onClose={() => setHelpOpen(false)}>
            <HelpDialog onClose={() => setHelpOpen(false)} />
          </OptionalPart>
        )}
        {annotationParts}
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
    notifyReachable();
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
  if (dismissed || !Object.values(rejected).some(Boolean)) return null;
  return (
    <div role="status" className="shell-note" data-note>
      <Icon name="warning" className="text-warn" />
      <p className="min-w-0 flex-1">
        <OptionalPart>
          <RejectedWords rejected={rejected} got={got} />
        </OptionalPart>
      </p>
      <IconButton icon="close" label={strings.dismiss} onClick={() => setDismissed(true)} />
    </div>
  );
}
