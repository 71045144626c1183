// The words of the range, its calendar and the zone.

const plural = (count: number, one: string): string => `${count.toLocaleString("en")} ${count === 1 ? one : `${one}s`}`;

export const rangeStrings = {
  label: "Time range",
  presets: "Ranges up to now",
  custom: "Custom range",
  previousMonth: "Previous month",
  nextMonth: "Next month",
  calendar: "Calendar",
  keys: "Arrow keys move by days and weeks, Page Up and Page Down by months. Enter chooses the first and then the last day.",
  chosenFirst: (day: string) => `From ${day}. Choose the last day.`,
  chosen: (days: number, first: string, last: string) => `${plural(days, "day")}: ${first} to ${last}.`,
  weekdays: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
  longWeekdays: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
  from: "From",
  to: "To",
  untilNow: "Until now, and keep updating",
  apply: "Apply",
  zoneHint: (zone: string, offset: string) => `Times in ${zone === offset ? zone : `${zone}, ${offset}`}`,
  compare: "Compare",
  zone: "Time zone",
  errors: {
    fromMissing: "Enter a start, for example 21/11/2026, 10:00",
    toMissing: "Enter an end, or choose “Until now”",
    order: "The end must be after the start",
    future: "The end is in the future. Choose “Until now” for a range that goes on",
    futureStart: "The start is in the future",
  },
} as const;
