import { columnsByRole } from "../frame/columns.ts";
import type { Detail, TrendDetail } from "../frame/detail.ts";
import type { Frame } from "../frame/frame.ts";
import type { ChartKind } from "../live/protocol.ts";

export type ChartForm =
  | "number"
  | "time-series"
  | "category-bars"
  | "horizontal-bar"
  | "table"
  | "steps"
  | "time-to-convert"
  | "grid"
  | "curve"
  | "flow";

/** How a frame is drawn: as requested if its columns allow it, and as a table at worst. */
export function chartForm(kind: ChartKind, frame: Frame): ChartForm {
  if (frame.detail && frame.detail.kind !== "trend") return detailForm(kind, frame.detail);
  const { time, dimension, measure } = columnsByRole(frame);
  if (kind === "number" || kind === "table") return kind;
  if (measure.length === 0) return "table";
  if (kind === "horizontal-bar") return dimension.length > 0 || time.length > 0 ? "horizontal-bar" : "table";
  if (time.some(({ type }) => type === "time" || type === "date")) return "time-series";
  if (dimension.length === 0) return "table";
  return kind === "bar" ? "category-bars" : "horizontal-bar";
}

function detailForm(kind: ChartKind, detail: Exclude<Detail, TrendDetail>): ChartForm {
  if (kind === "table") return "table";
  switch (detail.kind) {
    case "funnel":
      if (kind === "number" || kind === "time-to-convert") return kind;
      return kind === "line" || kind === "area" ? "time-series" : "steps";
    case "retention":
      if (kind === "number") return kind;
      return kind === "line" || kind === "area" ? "curve" : "grid";
    case "paths":
      return kind === "number" ? kind : "flow";
  }
}

function isEmptyDetail(detail: Detail): boolean {
  switch (detail.kind) {
    case "trend":
      return detail.lines.every(({ total }) => !total);
    case "funnel":
      return !detail.overall.steps[0]?.count;
    case "retention":
      return detail.overall.cohorts.every(({ visitors }) => visitors === 0);
    case "paths":
      return detail.transitions.length === 0;
  }
}

/** Whether there is nothing to draw. A panel of figures without rows is not empty. */
export function isEmpty(kind: ChartKind, frame: Frame): boolean {
  if (frame.detail) return isEmptyDetail(frame.detail);
  if (kind === "number") return frame.rows === 0 && frame.figures.length === 0;
  if (frame.rows === 0) return true;
  const form = chartForm(kind, frame);
  if (form === "table") return false;
  // Buckets without events are zeros or nulls.
  return columnsByRole(frame).measure.every(({ values, additive }) =>
    values.every((value) => value === null || (additive && (value === 0 || value === 0n))),
  );
}
