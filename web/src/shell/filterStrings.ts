export const filterStrings = {
  filterDimension: "Filter by",
  filterValue: "Value",
  filterValueMissing: "Enter a value",
  filterEvents: (events: string) => `Only ${events} events have it`,
} as const;
