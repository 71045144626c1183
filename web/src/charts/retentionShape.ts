// A retention as a grid: cohorts by periods, with a shade per cell.

import type { PeriodUnit, RetentionDetail, RetentionResult } from "../frame/detail.ts";
import { formatCount, formatFixed } from "../lib/format.ts";
import { formatDay, formatInstant } from "../lib/time.ts";

export interface GridCell {
  period: number;
  /** "42%". */
  text: string;
  visitors: number;
  pct: number | null;
  /** From 0 to 4. */
  shade: number;
  incomplete: boolean;
}

export interface GridRow {
  /** Start of the cohort. */
  start: number;
  label: string;
  size: number;
  /** As many as the grid has columns. Undefined: the period has not begun. */
  cells: (GridCell | undefined)[];
}

export interface GridShape {
  /** "Week 0". */
  columns: string[];
  rows: GridRow[];
  mean: { text: string; pct: number | null; shade: number }[];
  hasIncomplete: boolean;
}

export const SHADES = 5;

/** The top of the scale: a grid of small shares would be one shade otherwise. Period 0 does not count: it is everyone. */
function scaleOf({ cohorts }: RetentionResult): number {
  const highest = Math.max(0, ...cohorts.flatMap(({ cells }) => cells.slice(1).map(({ pct }) => pct ?? 0)));
  return [10, 25, 50, 100].find((top) => highest <= top) ?? 100;
}

/** In steps of a fifth of the scale. */
export const shadeOf = (pct: number | null, top: number): number =>
  pct === null ? 0 : Math.max(0, Math.min(SHADES - 1, Math.ceil((SHADES * pct) / top) - 1));

/** Whole percentages, and one decimal where whole ones would be 0 or look like everyone. */
export function percentText(pct: number | null): string {
  if (pct === null) return "–";
  const decimals = (pct > 0 && pct < 10) || (pct > 99 && pct < 100) ? 1 : 0;
  return `${formatFixed(pct, decimals)}%`;
}

const UNITS: Record<PeriodUnit, string> = { hour: "Hour", day: "Day", week: "Week", month: "Month" };

const MONTHS = new Map<string, Intl.DateTimeFormat>();
function monthLabel(at: number, zone: string): string {
  let format = MONTHS.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, month: "short", year: "numeric" });
    MONTHS.set(zone, format);
  }
  return format.format(at);
}

export function cohortLabel(start: number, unit: PeriodUnit, zone: string, now: number): string {
  if (unit === "hour") return formatInstant(start, zone, now);
  return unit === "month" ? monthLabel(start, zone) : formatDay(start, zone, now);
}

export function toRetentionGrid(
  { period, periods }: RetentionDetail,
  result: RetentionResult,
  { zone, computedAt }: { zone: string; computedAt: number },
): GridShape {
  const { cohorts, mean } = result;
  const top = scaleOf(result);
  const indexes = Array.from({ length: periods + 1 }, (_, index) => index);
  const rows = cohorts.map(
    ({ start, visitors, cells }): GridRow => ({
      start,
      label: cohortLabel(start, period, zone, computedAt),
      size: visitors,
      cells: indexes.map((index) => {
        const cell = cells[index];
        if (!cell) return undefined;
        const { pct, incomplete } = cell;
        return {
          period: index,
          text: percentText(pct),
          visitors: cell.visitors,
          pct,
          shade: shadeOf(pct, top),
          incomplete,
        };
      }),
    }),
  );
  return {
    columns: indexes.map((index) => `${UNITS[period]} ${index}`),
    rows,
    mean: indexes.map((index) => {
      const pct = mean[index] ?? null;
      return { text: percentText(pct), pct, shade: shadeOf(pct, top) };
    }),
    hasIncomplete: rows.some(({ cells }) => cells.some((cell) => cell?.incomplete)),
  };
}

/** What a cell says to those who do not see the grid. */
export const cellWords = ({ text, visitors, incomplete }: GridCell, column: string, row: GridRow): string =>
  `${row.label}, ${column}: ${text}, ${formatCount(visitors)} of ${formatCount(row.size)}${incomplete ? ", can still grow" : ""}`;

/** The next cell for an arrow key: only those that exist. */
export function nextCell(
  rows: GridRow[],
  { row, column }: { row: number; column: number },
  key: string,
): { row: number; column: number } | undefined {
  const steps: Record<string, [number, number]> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  };
  if (key === "Home") return { row, column: 0 };
  if (key === "End") return { row, column: rows[row]?.cells.findLastIndex((cell) => cell) ?? column };
  const step = steps[key];
  if (!step) return undefined;
  const next = { row: row + step[0], column: column + step[1] };
  return rows[next.row]?.cells[next.column] ? next : undefined;
}
