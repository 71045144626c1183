// The words of the page's frame. English only for now: numbers and dates are formatted for English as well, so that a
// sentence has one language. A translation starts by making this module a function of the language.

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** A duration for people: 14 s, 3 min, 2 h. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

export const strings = {
  product: "Millrace",
  dashboard: "Dashboard",
  close: "Close",
  copy: "Copy",
  copied: "Copied",
  copyFailed: "Copy failed, select the text",
  retry: "Retry",
  dismiss: "Dismiss",
  staleTitle: "Stale · ",
  loading: "Loading",
  noData: "No data",

  project: "Project",
  projectFailed: (reason: string) => `The project is the same as before: ${reason}`,
  logOut: "Log out",
  logOutFailed: (reason: string) => `You are still logged in: ${reason}`,

  range: "Time range",
  compareLabel: "Compare",
  compare: { none: "No comparison", previous: "vs previous period", week: "vs a week ago" },
  comparedWith: "compared with",
  notStoredBefore: (instant: string) => `(nothing is stored before ${instant})`,
  filters: "Filters",
  addFilter: "Add filter",
  removeFilter: (words: string) => `Remove the filter ${words}`,
  unknownDimension: (name: string) => `This server has no dimension ${name}: the filter is not applied`,
  zone: "Time zone",
  zoneSearch: "Search time zones",
  zoneNone: "No such time zone",
  zoneHome: "your time zone",

  theme: { dark: "Switch to the light theme", light: "Switch to the dark theme" },
  kiosk: "Wall display",
  kioskLeave: "Leave the wall display",
  help: "Keyboard shortcuts and help",
  pause: "Pause moving figures",
  resume: "Resume",
  pausedShort: "Paused",
  paused: (updates: number) => `Paused, ${plural(updates, "update")} waiting`,

  connection: {
    connecting: "Connecting",
    live: "Live",
    polling: "Polling: updates every 5 s",
    stale: "Stale",
    offline: "Offline",
    denied: "Rejected",
  },
  noResponseFor: (age: string) => `No response for ${age}`,
  figuresAsOf: (clock: string) => `figures as of ${clock}`,
  asOf: (clock: string) => `As of ${clock}`,
  staleSince: (clock: string) => `Stale since ${clock}`,
  delayedPanels: (count: number) => `${plural(count, "panel")} delayed`,
  delayed: "delayed",
  failed: "failed",
  since: (clock: string) => `since ${clock}`,
  banner: {
    stale: (since: string) => `The server has not responded since ${since}.`,
    offline: (since: string) => `The server has been unreachable since ${since}.`,
    denied: (since: string) => `The server has rejected this page since ${since}.`,
    figures: (clock: string) => `The figures are as of ${clock}.`,
    noFigures: "There are no figures yet.",
    nextAttempt: (age: string) => `Next attempt in ${age}`,
    attempting: "Trying to reconnect",
  },

  shortcuts: {
    zone: "Switch between your time zone and UTC",
    kiosk: "Wall display: full screen with large type",
    theme: "Switch between the dark and light theme",
    pause: "Pause or resume moving figures",
    help: "Show this help",
    space: "Space",
  },

  panels: "Panels",
  noPanels: "No panels",
  noPanelsHint: "Put a .sql file into the panel directory of the server. It appears here within seconds.",
  catalogFailed: "The list of panels could not be loaded",
  pageFailed: "This page could not be drawn",
  partFailed: "This could not be loaded. The server may be unreachable, or may have been updated.",
  reload: "Reload",
  notFound: "Page not found",
  notFoundHint: "There is no page at this address.",
  toDashboard: "Go to the dashboard",
} as const;
