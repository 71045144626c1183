// Vertical bars over the values of a dimension. Loaded lazily: it brings recharts.

import { useMemo } from "react";
import { Bar, BarChart, CartesianGrid, ReferenceLine, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import type { Frame } from "../frame/frame.ts";
import { toRanking } from "../frame/ranking.ts";
import { rankingSummary } from "../frame/summaries.ts";
import { formatTicks } from "../lib/format.ts";
import { niceScale } from "../lib/valueTicks.ts";
import { MeasureLegend, NotShown, RestNote } from "./RankingNotes.tsx";
import { useValueFilter } from "./valueFilter.tsx";

interface Props {
  frame: Frame;
  title: string;
  /** How many bars are drawn. */
  top: number;
}

const TICK = { fill: "var(--muted)", fontSize: 11 };
const MAX_NAME = 14;

const cut = (name: string) => (name.length > MAX_NAME ? `${name.slice(0, 6)}…${name.slice(-7)}` : name);

export default function CategoryBars({ frame, title, top }: Props) {
  const ranking = useMemo(() => toRanking(frame, { top }), [frame, top]);
  const filterBy = useValueFilter();
  if (!ranking) return null;
  const { measures, notShown } = ranking;
  // The sum of the others is not on the scale of the single values.
  const bars = ranking.bars.filter(({ isOther }) => !isOther);
  const other = ranking.bars.find(({ isOther }) => isOther);
  const rows = bars.map(({ key, label, values, texts, value }) => ({ key, label, values, texts, value }));
  const [first] = measures;
  const scale = niceScale(
    first?.min ?? 0,
    first?.max ?? 1,
    4,
    measures.every(({ whole }) => whole),
  );
  const labels = new Map(formatTicks(scale.ticks, first?.unit ?? "").map((label, i) => [scale.ticks[i], label]));
  const names = new Map(rows.map(({ key, label }) => [key, label]));
  return (
    <div className="flex min-h-0 w-full flex-1 flex-col gap-2">
      <MeasureLegend measures={measures} />
      <div role="img" aria-label={rankingSummary(title, frame, ranking)} className="relative min-h-28 w-full flex-1">
        <div className="absolute inset-0">
          <ResponsiveContainer width="100%" height="100%" initialDimension={{ width: 480, height: 200 }}>
            <BarChart
              data={rows}
              margin={{ top: 10, right: 4, bottom: 0, left: 0 }}
              barGap={2}
              accessibilityLayer={false}
            >
              <CartesianGrid vertical={false} stroke="var(--grid)" />
              <XAxis
                dataKey="key"
                tick={TICK}
                tickLine={false}
                axisLine={{ stroke: "var(--grid)" }}
                minTickGap={8}
                tickFormatter={(key: string) => cut(names.get(key) ?? "")}
              />
              <YAxis
                width="auto"
                tick={TICK}
                tickLine={false}
                axisLine={false}
                ticks={scale.ticks}
                domain={[scale.min, scale.max]}
                tickFormatter={(tick: number) => labels.get(tick) ?? ""}
              />
              <Tooltip
                isAnimationActive={false}
                cursor={{ fill: "var(--grid)", fillOpacity: 0.4 }}
                content={({ active, payload }) => {
                  const row = payload?.[0]?.payload as (typeof rows)[number] | undefined;
                  if (!active || !row) return null;
                  return (
                    <div className="rounded-lg border border-line-strong bg-raised px-3 py-2 text-xs text-ink shadow-xl">
                      <p className="mb-1 max-w-64 truncate text-muted">{row.label}</p>
                      {measures.map((measure, index) => (
                        <p key={measure.key} className="flex gap-4 leading-5">
                          <span className="text-muted">{measure.label}</span>
                          <span className="ml-auto font-semibold tabular-nums">{row.texts[index]}</span>
                        </p>
                      ))}
                    </div>
                  );
                }}
              />
              {scale.min < 0 && <ReferenceLine y={0} stroke="var(--line-strong)" />}
              {measures.map(({ key, color }, index) => (
                <Bar
                  key={key}
                  name={key}
                  dataKey={(row: (typeof rows)[number]) => row.values[index]}
                  fill={`var(${color})`}
                  maxBarSize={48}
                  radius={3}
                  isAnimationActive={false}
                  onClick={({ payload }: { payload?: (typeof rows)[number] }) => filterBy(payload?.value)?.()}
                />
              ))}
            </BarChart>
          </ResponsiveContainer>
        </div>
      </div>
      {other && (
        <p className="text-xs text-muted">
          Not drawn: {other.label} {other.texts.join(" / ")}
        </p>
      )}
      {bars.some(({ isRest }) => isRest) && <RestNote frame={frame} />}
      <NotShown count={notShown} />
    </div>
  );
}
