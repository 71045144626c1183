// The words of the navigation and of the bar. Those of popups are with them, so that the first load does not have them.

export const frameStrings = {
  navigation: "Pages",
  pages: {
    dashboards: "Dashboards",
    explore: "Explore",
    live: "Live events",
    people: "People",
    status: "Data and health",
  },
  /** Below an icon of the bar at the bottom. */
  shortPages: { dashboards: "Dashboards", explore: "Explore", live: "Live", people: "People", status: "Health" },
  pin: "Show the names of the pages",
  unpin: "Show only the icons of the pages",
  skip: "Skip to the content",
  bar: "View",
  more: "More",
  filter: "Filter",
  clearFilters: "Remove all filters",
  noDimensions: "There is nothing to filter by yet: no event has a property.",
  goTo: (page: string) => `Go to ${page}`,
  annotations: "Annotations",
  palette: "Search pages and commands",
  rotate: "Wall display: rotate dashboards…",
  share: "Share this view",
  shareDescription: "Copy a link to this view",
  steps: {
    back: "Earlier",
    forward: "Later",
    backDescription: "The same span, one earlier",
    forwardDescription: "The same span, one later",
  },
  openRange: "Choose the time range",
  switchProject: (name: string) => `Switch to project ${name}`,
} as const;
