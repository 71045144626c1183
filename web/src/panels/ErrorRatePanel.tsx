import { formatCount, formatPercent, formatThreshold } from "../lib/format.ts";
import { AnimatedNumber } from "./AnimatedNumber.tsx";
import { LinesOverTime } from "./charts/LinesOverTime.tsx";
import { type ErrorRate, shapeErrorRate } from "./errorRate.ts";
import { type BodyProps, definePanel } from "./panel.ts";

const SERIES = [{ key: "rate", label: "Error rate", color: "var(--c5)" }];

function Body({ data, display, summary }: BodyProps<ErrorRate>) {
  const high = data.rate > data.threshold;
  return (
    <>
      <p className="mb-2 flex flex-wrap items-baseline gap-x-4">
        <AnimatedNumber text={formatPercent(data.rate)} className={`headline-number ${high ? "text-danger" : ""}`} />
        <span className="text-sm text-muted tabular-nums">
          {formatCount(data.errors)} of {formatCount(data.events)} events
          {data.bucketsAbove > 0 && (
            <span className="font-semibold text-danger">
              {" "}
              · above the threshold in {data.bucketsAbove} of {data.points.length} buckets
            </span>
          )}
        </span>
      </p>
      <LinesOverTime
        points={data.points}
        series={SERIES}
        display={display}
        summary={summary}
        format={formatPercent}
        axisFormat={formatThreshold}
        threshold={{ at: data.threshold, label: `threshold ${formatThreshold(data.threshold)}` }}
      />
    </>
  );
}

export const errorRatePanel = definePanel(
  "errorRate",
  "The share of error_occurred events among all events appears here.",
  shapeErrorRate,
  Body,
);
