import { plural } from "../../strings.ts";

export const enteredStrings = {
  customTooLong: (years: number) => `A range has at most ${years} years, and does not begin in the future`,
  storedDays: (days: number, day: string) => `Figures are stored for ${plural(days, "day")}: since ${day}`,
} as const;
