import { useMemo } from "react";
import { Area, CartesianGrid, ComposedChart, Line, ReferenceLine } from "recharts";
import { formatCompact } from "../../lib/format.ts";
import type { Display } from "../panel.ts";
import { incompleteKey, type Point, type Series, toLineRows } from "../points.ts";
import { GRID, TimeAxis, ValueAxis } from "./axes.tsx";
import { ChartFrame } from "./ChartFrame.tsx";
import { TimeTooltip } from "./ChartTooltip.tsx";

interface Props {
  points: Point[];
  series: Series[];
  display: Display;
  summary: string;
  /** A value in the tooltip. */
  format: (value: number) => string;
  /** A value on the axis. */
  axisFormat?: (value: number) => string;
  threshold?: { at: number; label: string };
  /** Fills the space under the line: for a single series. */
  filled?: boolean;
  /** Without axes: a shape, not a chart to read values from. */
  bare?: boolean;
}

const STEADY = { isAnimationActive: false, dot: false, activeDot: { r: 4 }, strokeWidth: 2 } as const;

export function LinesOverTime(props: Props) {
  const { points, series, display, summary, format, axisFormat = formatCompact, threshold, filled, bare } = props;
  const rows = useMemo(() => toLineRows(points, series), [points, series]);
  const largest = Math.max(0, ...points.flatMap((point) => series.map(({ key }) => point.values[key] ?? 0)));
  // The threshold is always in the picture, also while everything is far below it.
  const top = threshold && largest < threshold.at * 1.5 ? threshold.at * 1.5 : undefined;
  const margin = bare ? { top: 4, right: 4, bottom: 0, left: 4 } : { top: 8, right: 8, bottom: 0, left: 0 };
  return (
    <ChartFrame summary={summary}>
      <ComposedChart data={rows} margin={margin} accessibilityLayer={false}>
        {!bare && <CartesianGrid vertical={false} stroke={GRID} />}
        <TimeAxis points={points} display={display} hide={bare} />
        <ValueAxis format={axisFormat} hide={bare} top={top} />
        <TimeTooltip display={display} series={series} format={format} />
        {filled &&
          series.map(({ key, color }) => (
            <Area key={key} dataKey={key} stroke="none" fill={color} fillOpacity={0.16} {...STEADY} activeDot={false} />
          ))}
        {series.map(({ key, color }) => (
          <Line key={key} dataKey={key} stroke={color} {...STEADY} />
        ))}
        {series.map(({ key, color }) => (
          <Line
            key={incompleteKey(key)}
            dataKey={incompleteKey(key)}
            stroke={color}
            strokeDasharray="3 4"
            strokeOpacity={0.9}
            {...STEADY}
          />
        ))}
        {threshold && (
          <ReferenceLine
            y={threshold.at}
            stroke="var(--danger)"
            strokeDasharray="6 4"
            strokeWidth={1.5}
            label={{
              value: threshold.label,
              position: "insideBottomLeft",
              fill: "var(--danger)",
              fontSize: "0.75rem",
              fontWeight: 600,
            }}
          />
        )}
      </ComposedChart>
    </ChartFrame>
  );
}
