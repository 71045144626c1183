import { useId, useMemo } from "react";
import { Area, AreaChart, CartesianGrid, ReferenceArea } from "recharts";
import type { Display } from "../panel.ts";
import type { ChartRow, Point, Series } from "../points.ts";
import { GRID, TimeAxis, ValueAxis } from "./axes.tsx";
import { ChartFrame } from "./ChartFrame.tsx";
import { TimeTooltip } from "./ChartTooltip.tsx";

interface Props {
  points: Point[];
  series: Series[];
  display: Display;
  summary: string;
  format: (value: number) => string;
}

/** Stacked areas over time. The span up to an incomplete bucket is hatched. */
export function StackedOverTime({ points, series, display, summary, format }: Props) {
  const hatchId = useId();
  const rows = useMemo<ChartRow[]>(
    () => points.map(({ at, incomplete, values }) => ({ at, incomplete, ...values })),
    [points],
  );
  const incompleteIndex = points.findIndex((point) => point.incomplete);
  return (
    <ChartFrame summary={summary}>
      <AreaChart data={rows} margin={{ top: 8, right: 8, bottom: 0, left: 0 }} accessibilityLayer={false}>
        <defs>
          <pattern id={hatchId} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect width="5" height="5" fill="var(--card)" fillOpacity="0.35" />
            <rect width="2.5" height="5" fill="var(--card)" fillOpacity="0.6" />
          </pattern>
        </defs>
        <CartesianGrid vertical={false} stroke={GRID} />
        <TimeAxis points={points} display={display} />
        <ValueAxis />
        <TimeTooltip display={display} series={series} format={format} />

        {series.map(({ key, color }) => (
          <Area
            key={key}
            dataKey={key}
            stackId="all"
            stroke={color}
            strokeWidth={1.5}
            fill={color}
            fillOpacity={0.45}
            isAnimationActive={false}
            activeDot={{ r: 3 }}
          />
        ))}
        {incompleteIndex > 0 && (
          <ReferenceArea
            x1={points[incompleteIndex - 1]?.at}
            x2={points[incompleteIndex]?.at}
            fill={`url(#${hatchId})`}
            fillOpacity={1}
          />
        )}
      </AreaChart>
    </ChartFrame>
  );
}
