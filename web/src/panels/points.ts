import type { Timestamp } from "@bufbuild/protobuf/wkt";

/** Unix milliseconds. A number is precise enough for bucket starts. */
export const toMillis = (at: Timestamp | undefined): number => (at ? Number(at.seconds) * 1000 + at.nanos / 1e6 : 0);

/** One bucket of a chart over time, with a value per series key. */
export interface Point {
  at: number;
  incomplete: boolean;
  values: Record<string, number | null>;
}

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

/** Key of the dashed part of a series, which ends at the incomplete bucket. */
export const incompleteKey = (key: string): string => `${key} incomplete`;

export type ChartRow = Record<string, number | boolean | null>;

/**
 * Rows of a line chart. Each series is drawn twice: solid up to the last complete bucket, and dashed from there to the
 * incomplete one, whose value still grows.
 */
export function toLineRows(points: Point[], series: Series[]): ChartRow[] {
  return points.map((point, index) => {
    const row: ChartRow = { at: point.at, incomplete: point.incomplete };
    const beforeIncomplete = points[index + 1]?.incomplete === true;
    for (const { key } of series) {
      const value = point.values[key] ?? null;
      row[key] = point.incomplete ? null : value;
      row[incompleteKey(key)] = point.incomplete || beforeIncomplete ? value : null;
    }
    return row;
  });
}
