// The words of a dashboard.

export const boardStrings = {
  failed: "The dashboard could not be loaded",
  failedHint: (reason: string) => `All panels are shown instead: ${reason}.`,
  notFound: (name: string) => `There is no dashboard named “${name}”`,
  notFoundHint: "It may have been deleted or renamed, or belong to another project.",
  toList: "All dashboards",
  empty: "This dashboard is empty",
  emptyReadOnly: "Nobody has added a panel or an insight yet.",
  edit: "Edit dashboard",
  editShort: "Edit",
  switchTo: "Dashboard",
  searchDashboards: "Search dashboards",
  noDashboards: "No such dashboard",
  itemMissing: "This cannot be shown",
  removedMeanwhile: "The dashboard has been deleted on the server. What you see is its last version.",
  openInExplore: "Open in Explore",
  details: "Details",
  parameters: "Parameters…",
  parametersOf: (title: string) => `${title}: parameters`,
  parameterHint: (description: string, value: string) =>
    [description && description.charAt(0).toUpperCase() + description.slice(1), `default ${value}`]
      .filter(Boolean)
      .join("; "),
  defaults: "Defaults",
  apply: "Apply",
  detailsOf: (title: string) => `${title}: details`,
  sort: "Order",
  ownOrder: "Order of the panel",
  descending: (label: string) => `${label}, descending`,
  ascending: (label: string) => `${label}, ascending`,
  detailsSearch: "Search the rows",
  detailsNone: (text: string) => `No row contains “${text}”`,
  kinds: { trend: "Trend", funnel: "Funnel", retention: "Retention", paths: "Paths" },
  noInsight: (name: string) => `there is no insight named “${name}”`,
} as const;
