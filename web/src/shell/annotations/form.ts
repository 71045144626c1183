// The form of an annotation: its time on the clock of the page, and the name of its file.

import { fromWallClock, toWallClock } from "../../lib/time.ts";

/** The value of an input `datetime-local`, to the minute. */
export const toInput = (at: number, zone: string): string =>
  new Date(toWallClock(at, zone)).toISOString().slice(0, "2026-11-22T09:30".length);

/** Undefined if nothing usable is entered. */
export function fromInput(text: string, zone: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/.test(text)) return undefined;
  const wall = Date.parse(`${text}Z`);
  return Number.isNaN(wall) ? undefined : fromWallClock(wall, zone);
}

const MAX_NAME = 64;

/** A name of a file that does not exist yet: "release-2-4", "release-2-4-2". */
export function fileName(title: string, taken: readonly string[]): string {
  const slug = title
    .normalize("NFD")
    .replaceAll(/\p{M}/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_NAME - 4)
    .replaceAll(/^-+|-+$/g, "");
  const base = slug || "annotation";
  const names = new Set(taken);
  let name = base;
  for (let number = 2; names.has(name); number += 1) name = `${base}-${number}`;
  return name;
}
