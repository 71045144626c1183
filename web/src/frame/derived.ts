// Other frames that follow from the result of a question: its totals, and how its figures change over time.

import { REST_VALUE } from "./columns.ts";
import type { FunnelDetail, FunnelResult, FunnelTrendPoint, TrendDetail } from "./detail.ts";
import type { Cell, Frame, FrameColumn } from "./frame.ts";
import { inReadingOrder } from "./lineOrder.ts";

type NewColumn = Omit<FrameColumn, "type" | "unit" | "additive"> & Partial<FrameColumn>;
const column = (init: NewColumn): FrameColumn => ({ type: "text", unit: "", additive: false, ...init });

const isWhole = (values: Cell[]) => values.every((value) => value === null || Number.isSafeInteger(value));

/** One row per line of a trend, with its total: for bars, tables and single numbers. */
export function trendTotals(frame: Frame, { lines: unordered, fields }: TrendDetail): Frame {
  const lines = inReadingOrder(unordered, (line) => line);
  const several = new Set(lines.map(({ series }) => series)).size > 1;
  // One field is a dimension by which the page can be filtered.
  const [field] = fields;
  const single = field !== undefined && fields.length === 1 && !several;
  const totals = lines.map(({ total }) => total);
  const measure = column({
    name: "total",
    label: "Total",
    type: isWhole(totals) ? "int" : "float",
    role: "measure",
    unit: lines[0]?.unit ?? "",
    additive: lines.every(({ additive }) => additive),
    values: totals,
  });
  const names = lines.map(({ label, breakdown, isOther }) => {
    if (!single) return label;
    return isOther ? REST_VALUE : (breakdown[0] ?? null);
  });
  const name = single ? field : "line";
  const dimension = column({ name, label: single ? field : "Line", role: "dimension", values: names });
  const columns = [dimension, measure];
  if (lines.some(({ compared }) => compared)) {
    const earlier = lines.map(({ compared }) => compared?.total ?? null);
    const change = lines.map(({ total, compared }) =>
      total === null || !compared?.total ? null : (100 * (total - compared.total)) / Math.abs(compared.total),
    );
    columns.push(
      column({
        name: "earlier",
        label: "Earlier period",
        type: isWhole(earlier) ? "int" : "float",
        role: "detail",
        unit: measure.unit,
        values: earlier,
      }),
      column({ name: "change", label: "Change", type: "float", role: "detail", unit: "%", values: change }),
    );
  }
  const { comparison: _, ...rest } = frame;
  return { ...rest, columns, rows: lines.length };
}

/** The conversion of a funnel by the time of the entry. */
export function conversionOverTime(frame: Frame, { overall, breakdown, field }: FunnelDetail): Frame {
  const results = field && breakdown.length > 0 ? breakdown : [overall];
  const points = results.flatMap((result) => result.trend.map((point) => ({ result, point })));
  const columns = [
    column({
      name: "bucket",
      label: "Time of entry",
      type: "time",
      role: "time",
      values: points.map(({ point }) => point.at),
    }),
    column({
      name: "conversion",
      label: "Converted",
      type: "float",
      role: "measure",
      unit: "%",
      values: points.map(({ point }) => point.pct),
    }),
    column({
      name: "entered",
      label: "Entered",
      type: "int",
      role: "detail",
      values: points.map(({ point }) => point.entered),
    }),
    column({
      name: "converted",
      label: "Reached the last step",
      type: "int",
      role: "detail",
      values: points.map(({ point }) => point.converted),
    }),
  ];
  if (results[0] !== overall) {
    columns.splice(
      1,
      0,
      column({
        name: field,
        label: field,
        role: "dimension",
        values: points.map(({ result }: { result: FunnelResult }) => result.value),
      }),
    );
  }
  const partialFrom = unfinishedFrom(points.map(({ point }) => point)) ?? frame.context.partialFrom;
  return { ...frame, columns, rows: points.length, context: { ...frame.context, partialFrom } };
}

/**
 * Buckets whose entries can still convert will change, like the running one, and are left out like it. With a window as long
 * as the range that would be nearly all of them: then all are drawn as they are. A bucket whose entries have all converted
 * early is complete whatever its time, so a few complete ones do not tell that the window has ended.
 */
function unfinishedFrom(points: FunnelTrendPoint[]): number | undefined {
  const incomplete = points.flatMap(({ at, incomplete }) => (incomplete ? at : []));
  if (incomplete.length === 0) return undefined;
  const from = incomplete.reduce((least, at) => Math.min(least, at));
  const entered = new Set(points.flatMap(({ at, entered }) => (entered > 0 ? at : [])));
  const before = [...entered].filter((at) => at < from).length;
  return 2 * before < entered.size ? undefined : from;
}
