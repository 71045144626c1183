// What a link requests and does not get.

export const rejectedStrings = {
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
} as const;
