import { Bar, BarChart, LabelList, Tooltip, XAxis, YAxis } from "recharts";
import type { Series } from "../points.ts";
import { ChartFrame } from "./ChartFrame.tsx";
import { TooltipBox } from "./ChartTooltip.tsx";

interface Props {
  rows: ({ name: string } & Record<string, string | number | null>)[];
  series: Series[];
  /** Shown only in the tooltip. */
  details?: Series[];
  summary: string;
  format: (value: number) => string;
}

const MAX_NAME_LENGTH = 18;

const truncateName = (name: string): string =>
  name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH - 1)}…` : name;

export function HorizontalBars({ rows, series, details = [], summary, format }: Props) {
  return (
    <ChartFrame summary={summary}>
      <BarChart
        data={rows}
        layout="vertical"
        margin={{ top: 0, right: 0, bottom: 0, left: 0 }}
        barCategoryGap="22%"
        accessibilityLayer={false}
      >
        {/* A sixth of the width stays free for the value labels at the ends of the bars. */}
        <XAxis type="number" hide domain={[0, (largest: number) => largest * 1.2]} />
        <YAxis
          type="category"
          dataKey="name"
          width="auto"
          interval={0}
          tick={{ fill: "var(--ink)", fontSize: "0.8125rem" }}
          tickLine={false}
          axisLine={false}
          tickFormatter={truncateName}
        />
        <Tooltip
          isAnimationActive={false}
          cursor={{ fill: "var(--grid)", fillOpacity: 0.4 }}
          content={({ active, payload }) => {
            const row = payload?.[0]?.payload as Props["rows"][number] | undefined;
            if (!active || !row) return null;
            const lines = [...series, ...details].map(({ key, label, color }) => ({
              label,
              color: details.some((detail) => detail.key === key) ? undefined : color,
              value: format(Number(row[key] ?? 0)),
            }));
            return <TooltipBox title={row.name} lines={lines} />;
          }}
        />
        {series.map(({ key, color }) => (
          <Bar key={key} dataKey={key} fill={color} radius={[0, 4, 4, 0]} maxBarSize={30} isAnimationActive={false}>
            {series.length === 1 && (
              <LabelList
                dataKey={key}
                position="right"
                fill="var(--ink)"
                fontSize="0.8125rem"
                fontWeight={600}
                formatter={(value: unknown) => format(Number(value))}
              />
            )}
          </Bar>
        ))}
      </BarChart>
    </ChartFrame>
  );
}
