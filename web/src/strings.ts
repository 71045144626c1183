// The words of the page's frame. English only for now: numbers and dates are formatted for English as well, so that a
// sentence has one language. A translation starts by making this module a function of the language.

const plural = (count: number, one: string, many = `${one}s`): string =>
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
  close: "Close",
  copy: "Copy",
  copied: "Copied",
  copyFailed: "Copy failed, select the text",
  retry: "Retry",
  dismiss: "Dismiss",
  staleTitle: "Stale · ",
  loading: "Loading",
  noData: "No data",
  skipToPanels: "Skip to the panels",

  logIn: {
    title: "Log in to Millrace",
    key: "Key",
    hint: "A key with the scope read or admin, as `millrace keys create` printed it",
    missing: "Enter a key",
    submit: "Log in",
    unreachable: "The server cannot be reached",
    provider: (name: string) => `Log in with ${name}`,
    or: "or with a key",
    failures: {
      refused: (provider: string) => `${provider} has refused the log-in`,
      no_role: () => "You have no role here. An administrator of this server can give you one",
      expired: () => "The log-in took too long, or was begun in another window. Log in again",
      unavailable: (provider: string) => `${provider} cannot be reached. Try again later`,
      failed: () => "The log-in has failed. The server's log says why",
    },
  },
  project: "Project",
  projectFailed: (reason: string) => `The project is the same as before: ${reason}`,
  logOut: "Log out",
  logOutFailed: (reason: string) => `You are still logged in: ${reason}`,

  range: "Time range",
  moreRanges: "More",
  moreRangesLabel: "More time ranges",
  customRange: "Custom…",
  customTitle: "Custom range",
  customHint: (zone: string) => `Times are those of ${zone}.`,
  customTooLong: (years: number) => `A range has at most ${years} years, and does not begin in the future`,
  storedDays: (days: number, day: string) => `Figures are stored for ${plural(days, "day")}: since ${day}`,

  viewBar: "What is shown",
  compareLabel: "Compare",
  compare: { none: "No comparison", previous: "vs previous period", week: "vs a week ago" },
  comparedWith: "compared with",
  notStoredBefore: (instant: string) => `(nothing is stored before ${instant})`,
  filters: "Filters",
  addFilter: "Add filter",
  removeFilter: (words: string) => `Remove the filter ${words}`,
  unknownDimension: (name: string) => `This server has no dimension ${name}: the filter is not applied`,
  filterDimension: "Filter by",
  filterValue: "Value",
  filterValueMissing: "Enter a value",
  filterEvents: (events: string) => `Only ${events} events have it`,
  zone: "Time zone",
  zoneSearch: "Search time zones",
  zoneNone: "No such time zone",
  zoneHome: "your time zone",

  theme: { dark: "Switch to the light theme", light: "Switch to the dark theme" },
  kiosk: "Kiosk mode",
  kioskLeave: "Leave kiosk mode",
  help: "Keyboard shortcuts and help",
  pause: "Pause moving figures",
  resume: "Resume",
  paused: (updates: number) => `Paused, ${plural(updates, "update")} waiting`,

  connection: {
    connecting: "Connecting",
    live: "Live",
    polling: "Polling: updates every 5 s",
    stale: "Stale",
    offline: "Offline",
    denied: "Rejected",
  },
  pollingDetail: "The live stream does not get through, for example because a proxy buffers it. The panels are polled.",
  liveDetail: "New events are on the page within a second.",
  connectingDetail: "Waiting for the first response of the server.",
  noResponseFor: (age: string) => `No response for ${age}`,
  figuresAsOf: (clock: string) => `figures as of ${clock}`,
  asOf: (clock: string) => `As of ${clock}`,
  staleSince: (clock: string) => `Stale since ${clock}`,
  lastHeard: "Last heard from the server",
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
    title: "Keyboard shortcuts",
    enabled: "Single-key shortcuts",
    enabledHint: "Switch them off if speech input or another tool types letters into the page.",
    zone: "Switch between your time zone and UTC",
    kiosk: "Kiosk mode: full screen with large type",
    theme: "Switch between the dark and light theme",
    pause: "Pause or resume moving figures",
    help: "Show this help",
    escape: "Close the open dialog or menu, leave kiosk mode",
    arrows: "Previous or next panel, while a panel is enlarged",
    space: "Space",
  },
  helpNotes: [
    "A dashed line or a hatched bar marks a bucket that is not complete yet.",
    "“≈” marks distinct counts that may be off by up to 1 %. All other counts are exact.",
    "The address holds the range, the time zone, the comparison, the filters and the enlarged panel: a shared link shows the same view.",
    "A thin dashed line of the same colour is the earlier period that a chart is compared with.",
  ],

  unknownZone: (requested: string, shown: string) =>
    `The link requests time zone ${requested}, which this browser does not know. Showing ${shown}.`,
  unknownRange: (requested: string, shown: string) =>
    `The link requests range ${requested}, which does not exist. Showing ${shown}.`,
  invalidInterval: (requested: string, shown: string) =>
    `The link requests the interval from ${requested}, which is not a valid one. Showing ${shown}.`,
  unknownCompare: (requested: string) =>
    `The link requests comparison ${requested}, which does not exist. Showing none.`,
  invalidFilters: (requested: string[]) =>
    `The link requests ${requested.length === 1 ? "a filter" : "filters"} that cannot be applied: ${requested.join(", ")}.`,

  panels: "Panels",
  brokenPanels: (count: number) => `${plural(count, "panel")} cannot be loaded`,
  brokenHint: "These files are skipped. The other panels are not affected.",
  noPanels: "No panels",
  noPanelsHint: "Put a .sql file into the panel directory of the server. It appears here within seconds.",
  catalogFailed: "The list of panels could not be loaded",
  pageFailed: "This page could not be drawn",
  partFailed: "This could not be loaded. The server may be unreachable, or may have been updated.",
  reload: "Reload",
  notFound: "Page not found",
  notFoundHint: "There is no page at this address.",
  toDashboard: "Go to the dashboard",
  panelNotFound: "Panel not found",
  panelNotFoundHint: (name: string) => `This server has no panel named “${name}”.`,
  previousPanel: "Previous panel",
  nextPanel: "Next panel",

  gettingStarted: {
    title: "Send the first event",
    waiting: "Waiting for the first event",
    intro:
      "This server is ready and has no events yet. Run one of these, or press the button. The panels appear here within seconds, without a reload.",
    snippets: "Snippets",
    sendTest: "Send a test event",
    sent: "Test event accepted",
    sentHint: "It appears in the panels within a second.",
    sendFailed: "The test event was not accepted",
    progress: "Seen so far",
    progressHint: (seen: number, total: number) => `${seen} of ${total} panels have data`,
    needs: "needs",
    seen: "has data",
    unseen: "no data yet",
  },
} as const;
