import { frameStrings } from "../strings.ts";

export const paletteStrings = {
  title: "Command palette",
  placeholder: "Search pages, dashboards and commands",
  none: (query: string) => `Nothing is called “${query}”`,
  results: (count: number) => `${count} ${count === 1 ? "result" : "results"}`,
  keys: "↑ ↓ to choose, Enter to run, Esc to close",
  dashboardsFailed: (reason: string) => `The dashboards could not be loaded: ${reason}`,
  dashboardsLoading: "Loading the dashboards",
  sections: {
    pages: "Pages",
    dashboards: "Dashboards",
    panels: "Panels on this page",
    range: "Time range",
    compare: "Compare",
    zone: "Time zone",
    commands: "Commands",
  },
  page: (page: keyof typeof frameStrings.pages) => frameStrings.pages[page],
  panel: (title: string) => `Enlarge ${title}`,
  customRange: "Custom range…",
  pin: "Show or hide the names of the pages",
} as const;
