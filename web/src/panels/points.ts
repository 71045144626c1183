import type { Timestamp } from "@bufbuild/protobuf/wkt";

/** Milliseconds since 1970. Half a millisecond of a bucket's start is of no matter, so a number does. */
export const toMillis = (at: Timestamp | undefined): number => (at ? Number(at.seconds) * 1000 + at.nanos / 1e6 : 0);

/** One instant of a chart over time: its values by the name of the series. */
export interface Point {
  at: number;
  incomplete: boolean;
  values: Record<string, number | null>;
}

/** A named series of a chart. */
export interface Series {
  key: string;
  label: string;
  color: string;
}

export const SERIES_COLORS = [
  "var(--c1)",
  "var(--c2)",
  "var(--c3)",
  "var(--c4)",
  "var(--c5)",
  "var(--c6)",
  "var(--c7)",
];

export const seriesColor = (index: number): string => SERIES_COLORS[index % SERIES_COLORS.length] ?? "var(--c1)";

/** The key under which the running end of a series is drawn. */
export const incompleteKey = (key: string): string => `${key} incomplete`;

export type ChartRow = Record<string, number | boolean | null>;

/**
 * Points as the rows of a chart of lines. Each series is drawn twice: whole up to its last complete bucket, and dashed
 * from there to the incomplete one, since that one's value is still growing.
 */
export function toLineRows(points: Point[], series: Series[]): ChartRow[] {
  return points.map((point, index) => {
    const row: ChartRow = { at: point.at, incomplete: point.incomplete };
    const beforeRunning = points[index + 1]?.incomplete === true;
    for (const { key } of series) {
      const value = point.values[key] ?? null;
      row[key] = point.incomplete ? null : value;
      row[incompleteKey(key)] = point.incomplete || beforeRunning ? value : null;
    }
    return row;
  });
}
