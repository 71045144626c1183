// Loaded with the charts: what the first view loads is small.

import { conversionOverTime, trendTotals } from "../frame/derived.ts";
import type { Frame } from "../frame/frame.ts";
import type { ChartKind } from "../live/protocol.ts";
import { chartForm } from "./chartForm.ts";

/** What the chart of the kind draws of a frame: of a question it may be another part of the result. */
export function drawnFrame(kind: ChartKind, frame: Frame): Frame {
  const { detail } = frame;
  if (detail?.kind === "trend" && (kind === "horizontal-bar" || (kind === "table" && detail.fields.length > 0))) {
    return trendTotals(frame, detail);
  }
  if (detail?.kind === "funnel" && chartForm(kind, frame) === "time-series") return conversionOverTime(frame, detail);
  return frame;
}
