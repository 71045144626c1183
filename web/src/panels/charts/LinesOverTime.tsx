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
  /** Formats values in the tooltip. */
  format: (value: number) => string;
  /** Formats values on the axis. */
  axisFormat?: (value: number) => string;
  threshold?: { at: number; label: string };
  /** Fills the area under the line. Meant for a single series. */
  filled?: boolean;
  /** Hides the axes. */
  sparkline?: boolean;
}

const LINE_PROPS = { isAnimationActive: false, dot: false, activeDot: { r: 4 }, strokeWidth: 2 } as const;

export function LinesOverTime(props: Props) {
  const { points, series, display, summary, format, axisFormat = formatCompact, threshold, filled, sparkline } = props;
  const rows = useMemo(() => toLineRows(points, series), [points, series]);
  const largest = Math.max(0, ...points.flatMap((point) => series.map(({ key }) => point.values[key] ?? 0)));
  // Keeps the threshold in view when all values are far below it.
  const top = threshold && largest < threshold.at * 1.5 ? threshold.at * 1.5 : undefined;
  const margin = sparkline ? { top: 4, right: 4, bottom: 0, left: 4 } : { top: 8, right: 8, bottom: 0, left: 0 };
  return (
    <ChartFrame summary={summary}>
      <ComposedChart data={rows} margin={margin} accessibilityLayer={false}>
        {!sparkline && <CartesianGrid vertical={false} stroke={GRID} />}
        <TimeAxis points={points} display={display} hide={sparkline} />
        <ValueAxis format={axisFormat} hide={sparkline} top={top} />
        <TimeTooltip display={display} series={series} format={format} />
        {filled &&
          series.map(({ key, color }) => (
            <Area
              key={key}
              dataKey={key}
              stroke="none"
              fill={color}
              fillOpacity={0.16}
              {...LINE_PROPS}
              activeDot={false}
            />
          ))}
        {series.map(({ key, color }) => (
          <Line key={key} dataKey={key} stroke={color} {...LINE_PROPS} />
        ))}
        {series.map(({ key, color }) => (
          <Line
            key={incompleteKey(key)}
            dataKey={incompleteKey(key)}
            stroke={color}
            strokeDasharray="3 4"
            strokeOpacity={0.9}
            {...LINE_PROPS}
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
