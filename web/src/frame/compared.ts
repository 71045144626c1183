// A frame beside the frame of the earlier period that it is compared with.

import { DAY } from "../lib/time.ts";
import { columnsByRole, toInstant, valueKey } from "./columns.ts";
import type { Cell, Frame, FrameColumn } from "./frame.ts";

/** The buckets of two periods correspond from the first on. Days of a clock change make them differ by an hour. */
export function correspondingIndex(
  times: number[],
  interval: number | null,
  frame: Frame,
  earlier: Frame,
): (at: number) => number {
  const shift = frame.context.start - earlier.context.start;
  const tolerance = (interval ?? DAY) / 2;
  const exact = new Map(times.map((at, index) => [at, index]));
  return (at) => {
    const target = at + shift;
    const index = exact.get(target) ?? nearest(times, target);
    return Math.abs((times[index] ?? Number.POSITIVE_INFINITY) - target) < tolerance ? index : -1;
  };
}

function nearest(times: number[], target: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < target) low = middle + 1;
    else high = middle;
  }
  const before = times[low - 1];
  const after = times[low];
  if (before === undefined) return low;
  return after === undefined || target - before <= after - target ? low - 1 : low;
}

/** The frame with the earlier values as further columns, for tables and files. The frame itself if it has none. */
export function withComparedColumns(frame: Frame): Frame {
  const { comparison } = frame;
  if (!comparison) return frame;
  const rows = comparedRows(frame, comparison);
  const added = comparison.columns
    .filter(({ role }) => role === "time" || role === "measure" || role === "detail")
    .map(
      (column): FrameColumn => ({
        ...column,
        name: `${column.name}_compared`,
        label: `${column.label} (compared)`,
        role: "detail",
        values: rows.map((row): Cell => (row === undefined ? null : (column.values[row] ?? null))),
      }),
    );
  return { ...frame, columns: [...frame.columns, ...added] };
}

/** For each row the row of the earlier frame with the corresponding time and the same values of the dimensions. */
function comparedRows(frame: Frame, earlier: Frame): (number | undefined)[] {
  const { zone } = frame.context;
  const [clock] = columnsByRole(frame).time;
  const [earlierClock] = columnsByRole(earlier).time;
  const times = clock ? [...new Set(instants(clock, zone))].sort((a, b) => a - b) : [];
  const steps = times.slice(1).map((at, index) => at - (times[index] ?? at));
  const width = frame.context.bucketSeconds === null ? Math.min(...steps) : frame.context.bucketSeconds * 1000;
  const indexOf = correspondingIndex(times, Number.isFinite(width) ? width : null, frame, earlier);
  const position = new Map(times.map((at, index) => [at, index]));

  const dimensions = columnsByRole(frame).dimension.map(({ name }) => name);
  const keyOf = (source: Frame, row: number, bucket: number | undefined) => {
    const columns = dimensions.map((name) => source.columns.find((column) => column.name === name));
    return [bucket ?? "", ...columns.map((column) => valueKey(column?.values[row]))].join("\x1f");
  };
  const rows = new Map<string, number>();
  const earlierTimes = earlierClock && instants(earlierClock, zone);
  for (let row = 0; row < earlier.rows; row += 1) {
    const at = earlierTimes?.[row];
    rows.set(keyOf(earlier, row, at === undefined ? undefined : indexOf(at)), row);
  }
  const ownTimes = clock && instants(clock, zone);
  return Array.from({ length: frame.rows }, (_, row) => {
    const at = ownTimes?.[row];
    return rows.get(keyOf(frame, row, at === undefined ? undefined : position.get(at)));
  });
}

const instants = (column: FrameColumn, zone: string): number[] =>
  column.values.map((cell) => toInstant(cell, column, zone) ?? Number.NaN);
