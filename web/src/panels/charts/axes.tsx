import { XAxis, YAxis } from "recharts";
import { compact } from "../../lib/format.ts";
import { tickLabel } from "../../lib/time.ts";
import type { Display } from "../panel.ts";

const TICK = { fill: "var(--muted)", fontSize: "0.75rem" };
export const GRID = "var(--grid)";

/** Buckets from left to right. Labels that would touch are left out. */
export function TimeAxis({ display, hide }: { display: Display; hide?: boolean }) {
  return (
    <XAxis
      dataKey="at"
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

interface FigureAxisProps {
  id?: string | number;
  side?: "left" | "right";
  format?: (value: number) => string;
  hide?: boolean;
  top?: number | "auto";
}

export function FigureAxis({ id = 0, side = "left", format = compact, hide, top = "auto" }: FigureAxisProps) {
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
