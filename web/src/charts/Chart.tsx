import { Suspense, useRef } from "react";
import type { Frame } from "../frame/frame.ts";
import { lazyPart } from "../lazyPart.ts";
import type { ChartKind } from "../live/protocol.ts";
import { chartForm } from "./chartForm.ts";
import type { TimeChartKind } from "./plot.ts";
import { useOnScreen, usePrinting, useThrottled } from "./useRedraw.ts";

const HorizontalBars = lazyPart(() => import("./HorizontalBars.tsx"));
const TimeSeries = lazyPart(() => import("./TimeSeries.tsx"));
const CategoryBars = lazyPart(() => import("./CategoryBars.tsx"));
const DataTable = lazyPart(() => import("./DataTable.tsx"));
const TrendNumber = lazyPart(() => import("./TrendNumber.tsx"));
const FunnelSteps = lazyPart(() => import("./FunnelSteps.tsx"));
const TimeToConvert = lazyPart(() => import("./TimeToConvert.tsx"));
const RetentionGrid = lazyPart(() => import("./RetentionGrid.tsx"));
const RetentionCurve = lazyPart(() => import("./RetentionCurve.tsx"));
const PathsFlow = lazyPart(() => import("./PathsFlow.tsx"));

/** Loads the charts of the default dashboard while its first figures are on their way. */
export function preloadCharts(): void {
  TimeSeries.preload();
  HorizontalBars.preload();
  DataTable.preload();
}

interface Props {
  frame: Frame;
  /** Identifies the query of the frame. Results of another query are drawn at once, newer ones at most once a second. */
  frameKey: string;
  kind: ChartKind;
  title: string;
  /** How many series or bars are drawn. */
  top: number;
}

const timeKind = (kind: ChartKind): TimeChartKind =>
  kind === "area" || kind === "stacked" || kind === "bar" ? kind : "line";

/** Draws a frame in any kind. The `number` of a panel is text, not a chart: only that of a trend is drawn here. */
export function Chart({ frame, frameKey, kind, title, top }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const throttled = useThrottled(frame, frameKey, useOnScreen(box));
  const result = usePrinting() ? frame : throttled;
  const form = chartForm(kind, result);
  const { detail, context } = result;
  return (
    <div ref={box} data-chart={kind} className="flex min-h-0 w-full flex-1 flex-col">
      <Suspense fallback={<div className="skeleton min-h-28 w-full flex-1" />}>
        {form === "time-series" && (
          <TimeSeries frame={result} frameKey={frameKey} kind={timeKind(kind)} title={title} top={top} />
        )}
        {form === "category-bars" && <CategoryBars frame={result} title={title} top={top} />}
        {form === "horizontal-bar" && <HorizontalBars frame={result} title={title} top={top} />}
        {form === "table" && <DataTable frame={result} kind={kind} title={title} />}
        {form === "number" && detail?.kind === "trend" && <TrendNumber detail={detail} context={context} />}
        {form === "steps" && detail?.kind === "funnel" && <FunnelSteps detail={detail} title={title} />}
        {form === "time-to-convert" && detail?.kind === "funnel" && <TimeToConvert detail={detail} title={title} />}
        {form === "grid" && detail?.kind === "retention" && (
          <RetentionGrid detail={detail} context={context} title={title} />
        )}
        {form === "curve" && detail?.kind === "retention" && <RetentionCurve detail={detail} title={title} />}
        {form === "flow" && detail?.kind === "paths" && <PathsFlow detail={detail} title={title} />}
      </Suspense>
    </div>
  );
}
