import { XAxis, YAxis } from "recharts";
import { formatCompact } from "../../lib/format.ts";
import { tickLabel } from "../../lib/time.ts";
import type { Display } from "../panel.ts";
import type { Point } from "../points.ts";

const TICK = { fill: "var(--muted)", fontSize: "0.75rem" };
export const GRID = "var(--grid)";

/** The first bucket of each label: on the 7-day range, several two-hour buckets share the label of their day. */
export function axisTicks(points: Point[], { range, zone }: Display): number[] {
  const labels = points.map(({ at }) => tickLabel(at, range, zone));
  return points.filter((_, index) => labels[index] !== labels[index - 1]).map(({ at }) => at);
}

export function TimeAxis({ points, display, hide }: { points: Point[]; display: Display; hide?: boolean }) {
  return (
    <XAxis
      dataKey="at"
      ticks={axisTicks(points, display)}
      hide={hide}
      tick={TICK}
      tickLine={false}
      axisLine={{ stroke: GRID }}
      minTickGap={28}
      tickMargin={8}
      tickFormatter={(at: number) => tickLabel(at, display.range, display.zone)}
    />
  );
}

interface ValueAxisProps {
  id?: string | number;
  side?: "left" | "right";
  format?: (value: number) => string;
  hide?: boolean;
  top?: number | "auto";
}

export function ValueAxis({ id = 0, side = "left", format = formatCompact, hide, top = "auto" }: ValueAxisProps) {
  return (
    <YAxis
      yAxisId={id}
      orientation={side}
      hide={hide}
      width="auto"
      tick={TICK}
      tickLine={false}
      axisLine={false}
      tickCount={4}
      domain={[0, top]}
      tickFormatter={format}
    />
  );
}
