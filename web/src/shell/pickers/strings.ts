/** Texts of the pickers. */
export const words = {
  anyEvent: "Any event",
  searchEvents: "Search events",
  noEvents: "No event has this name",
  stopped: (age: string) => `stopped ${age} ago`,
  recently: "last within 15 min",
  ago: (age: string) => `last ${age} ago`,
  searchProperties: "Search properties",
  noProperties: (event: string) =>
    `No ${event ? `${event} event` : "event"} of the last 7 days has such a property. It is listed once it is sent in an event’s properties (docs/sending.md).`,
  ownField: "every event",
  otherEvents: "of other events",
  choose: "Choose…",
  value: "Value",
  values: "Values",
  removeValue: (value: string) => `Remove ${value}`,
} as const;
