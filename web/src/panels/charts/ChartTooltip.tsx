import { Tooltip } from "recharts";
import { dateTimeLabel } from "../../lib/time.ts";
import type { Display } from "../panel.ts";
import { type ChartRow, incompleteKey, type Series } from "../points.ts";

interface TooltipLine {
  label: string;
  value: string;
  color?: string;
}

export function TooltipBox({ title, lines, note }: { title: string; lines: TooltipLine[]; note?: string }) {
  return (
    <div className="rounded-lg border border-line-strong bg-raised px-3 py-2 text-sm text-ink shadow-xl">
      <p className="mb-1 text-xs text-muted">{title}</p>
      {lines.map(({ label, value, color }) => (
        <p key={label} className="flex items-center gap-2 whitespace-nowrap">
          {color && <span className="size-2 rounded-full" style={{ background: color }} />}
          <span className="text-muted">{label}</span>
          <span className="ml-auto pl-4 font-semibold tabular-nums">{value}</span>
        </p>
      ))}
      {note && <p className="mt-1 text-xs text-warn">{note}</p>}
    </div>
  );
}

interface TimeTooltipProps {
  display: Display;
  series: Series[];
  format: (value: number, key: string) => string;
}

export function TimeTooltip({ display, series, format }: TimeTooltipProps) {
  return (
    <Tooltip
      isAnimationActive={false}
      cursor={{ stroke: "var(--line-strong)", fill: "var(--grid)", fillOpacity: 0.4 }}
      content={({ active, payload }) => {
        const row = payload?.[0]?.payload as ChartRow | undefined;
        if (!active || !row) return null;
        const lines = series.map(({ key, label, color }) => {
          const value = row[key] ?? row[incompleteKey(key)];
          return { label, color, value: typeof value === "number" ? format(value, key) : "–" };
        });
        const note = row.incomplete ? "not complete yet" : undefined;
        return <TooltipBox title={`from ${dateTimeLabel(Number(row.at), display.zone)}`} lines={lines} note={note} />;
      }}
    />
  );
}
