import { useId, useMemo } from "react";
import { Bar, CartesianGrid, ComposedChart, LabelList, Line, Rectangle } from "recharts";
import { formatPercent, formatThreshold } from "../../lib/format.ts";
import type { Display } from "../panel.ts";
import type { ChartRow, Point, Series } from "../points.ts";
import { GRID, TimeAxis, ValueAxis } from "./axes.tsx";
import { ChartFrame } from "./ChartFrame.tsx";
import { TimeTooltip } from "./ChartTooltip.tsx";

interface Props {
  points: Point[];
  series: Series[];
  /** A percentage, drawn as a line over the bars with its own axis. */
  rate?: Series;
  display: Display;
  summary: string;
  format: (value: number) => string;
}

/** Labels of more buckets would overlap. */
const MAX_LABELS = 9;

export function BarsOverTime({ points, series, rate, display, summary, format }: Props) {
  const id = useId();
  const rows = useMemo<ChartRow[]>(
    () => points.map(({ at, incomplete, values }) => ({ at, incomplete, ...values })),
    [points],
  );
  const all = rate ? [...series, rate] : series;
  const hatch = (index: number) => `${id}hatch${index}`;
  return (
    <ChartFrame summary={summary}>
      <ComposedChart
        data={rows}
        margin={{ top: rate ? 20 : 8, right: rate ? 0 : 8, bottom: 0, left: 0 }}
        barGap={2}
        accessibilityLayer={false}
      >
        <defs>
          {series.map(({ key, color }, index) => (
            <pattern
              key={key}
              id={hatch(index)}
              width="6"
              height="6"
              patternUnits="userSpaceOnUse"
              patternTransform="rotate(45)"
            >
              <rect width="6" height="6" fill={color} fillOpacity="0.18" />
              <rect width="2.5" height="6" fill={color} />
            </pattern>
          ))}
        </defs>
        <CartesianGrid vertical={false} stroke={GRID} yAxisId="values" />
        <TimeAxis points={points} display={display} />
        <ValueAxis id="values" />
        {rate && <ValueAxis id="rate" side="right" format={formatThreshold} />}
        <TimeTooltip
          display={display}
          series={all}
          format={(value, key) => (key === rate?.key ? formatPercent(value) : format(value))}
        />
        {series.map(({ key, color }, index) => (
          <Bar
            key={key}
            yAxisId="values"
            dataKey={key}
            fill={color}
            maxBarSize={44}
            isAnimationActive={false}
            // An incomplete bucket is hatched.
            shape={(bar: { payload?: ChartRow }) => (
              <Rectangle
                {...bar}
                radius={[3, 3, 0, 0]}
                fill={bar.payload?.incomplete ? `url(#${hatch(index)})` : color}
              />
            )}
          />
        ))}
        {rate && (
          <Line
            yAxisId="rate"
            dataKey={rate.key}
            stroke={rate.color}
            strokeWidth={2}
            dot={{ r: 3, fill: rate.color, strokeWidth: 0 }}
            connectNulls
            isAnimationActive={false}
          >
            {points.length <= MAX_LABELS && (
              <LabelList
                dataKey={rate.key}
                position="top"
                offset={8}
                fill="var(--ink)"
                fontSize="0.75rem"
                fontWeight={600}
                // The outline keeps the label readable over a bar.
                style={{ paintOrder: "stroke", stroke: "var(--card)", strokeWidth: 4 }}
                formatter={(value: unknown) => (typeof value === "number" ? formatThreshold(Math.round(value)) : "")}
              />
            )}
          </Line>
        )}
      </ComposedChart>
    </ChartFrame>
  );
}
