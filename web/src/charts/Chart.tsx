import { Suspense, useRef } from "react";
import type { Frame } from "../frame/frame.ts";
import { lazyPart } from "../lazyPart.ts";
import type { ChartKind } from "../live/protocol.ts";
import { chartForm } from "./chartForm.ts";
import { HorizontalBars } from "./HorizontalBars.tsx";
import type { TimeChartKind } from "./plot.ts";
import { useOnScreen, usePrinting, useThrottled } from "./useRedraw.ts";

const TimeSeries = lazyPart(() => import("./TimeSeries.tsx"));
const CategoryBars = lazyPart(() => import("./CategoryBars.tsx"));
const DataTable = lazyPart(() => import("./DataTable.tsx"));

/** Loads the charts of the default dashboard while its first figures are on their way. */
export function preloadCharts(): void {
  TimeSeries.preload();
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

/** Draws a frame in any kind but `number`, which is text. */
export function Chart({ frame, frameKey, kind, title, top }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const throttled = useThrottled(frame, frameKey, useOnScreen(box));
  const drawn = usePrinting() ? frame : throttled;
  const form = chartForm(kind, drawn);
  return (
    <div ref={box} data-chart={kind} className="flex min-h-0 w-full flex-1 flex-col">
      <Suspense fallback={<div className="skeleton min-h-28 w-full flex-1" />}>
        {form === "time-series" && <TimeSeries frame={drawn} kind={timeKind(kind)} title={title} top={top} />}
        {form === "category-bars" && <CategoryBars frame={drawn} title={title} top={top} />}
        {form === "horizontal-bar" && <HorizontalBars frame={drawn} title={title} top={top} />}
        {form === "table" && <DataTable frame={drawn} title={title} />}
      </Suspense>
    </div>
  );
}
