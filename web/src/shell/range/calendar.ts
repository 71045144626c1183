// The days of a calendar. A day is its number since 1970-01-01 on the clock of the zone.

const DAY = 86_400_000;

/** Year and month as one number, so that months can be added. */
export type Month = number;

export const monthOf = (day: number): Month => {
  const date = new Date(day * DAY);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
};

export const firstDay = (month: Month): number => Date.UTC(Math.floor(month / 12), month % 12, 1) / DAY;
export const lastDay = (month: Month): number => firstDay(month + 1) - 1;

/** 0 is Monday. 1970-01-01 was a Thursday. */
export const weekday = (day: number): number => (((day + 3) % 7) + 7) % 7;

/** The weeks of a month, from Monday. Null for days of other months. */
export function weeksOf(month: Month): (number | null)[][] {
  const [first, last] = [firstDay(month), lastDay(month)];
  const weeks: (number | null)[][] = [];
  for (let monday = first - weekday(first); monday <= last; monday += 7) {
    weeks.push(Array.from({ length: 7 }, (_, i) => (monday + i < first || monday + i > last ? null : monday + i)));
  }
  return weeks;
}

/** The same day of another month, or its last one. */
export function addMonths(day: number, months: number): number {
  const month = monthOf(day) + months;
  return Math.min(firstDay(month) + day - firstDay(monthOf(day)), lastDay(month));
}

const MOVES: Record<string, (day: number, shift: boolean) => number> = {
  ArrowLeft: (day) => day - 1,
  ArrowRight: (day) => day + 1,
  ArrowUp: (day) => day - 7,
  ArrowDown: (day) => day + 7,
  Home: (day) => day - weekday(day),
  End: (day) => day + 6 - weekday(day),
  PageUp: (day, shift) => addMonths(day, shift ? -12 : -1),
  PageDown: (day, shift) => addMonths(day, shift ? 12 : 1),
};

/** Where a key moves the focus, as in the date grid of the ARIA patterns. Undefined for other keys. */
export function moveByKey(day: number, key: string, shift: boolean, min: number, max: number): number | undefined {
  const next = Object.hasOwn(MOVES, key) ? MOVES[key]?.(day, shift) : undefined;
  return next === undefined ? undefined : Math.min(max, Math.max(min, next));
}

/** The selected days, both included. Without `last`, the second click is missing. */
export interface Days {
  first: number;
  last?: number;
}

/** The first click chooses a day, the second one the other end, and the third begins again. */
export function chooseDay(chosen: Days | undefined, day: number): Days {
  if (!chosen || chosen.last !== undefined) return { first: day };
  return day < chosen.first ? { first: day, last: chosen.first } : { first: chosen.first, last: day };
}
