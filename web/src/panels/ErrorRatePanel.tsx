import { count, percent, roundPercent } from "../lib/format.ts";
import { LinesOverTime } from "./charts/LinesOverTime.tsx";
import { type ErrorRate, shapeErrorRate } from "./errorRate.ts";
import { Figure } from "./Figure.tsx";
import { type BodyProps, definePanel } from "./panel.ts";

const SERIES = [{ key: "rate", label: "Error rate", color: "var(--c5)" }];

function Body({ data, display, summary }: BodyProps<ErrorRate>) {
  const high = data.rate > data.threshold;
  return (
    <>
      <p className="mb-2 flex flex-wrap items-baseline gap-x-4">
        <Figure text={percent(data.rate)} className={`lead-figure ${high ? "text-danger" : ""}`} />
        <span className="text-sm text-muted tabular-nums">
          {count(data.errors)} of {count(data.events)} events
          {data.above > 0 && (
            <span className="font-semibold text-danger">
              {" "}
              · above the threshold in {data.above} of {data.points.length} buckets
            </span>
          )}
        </span>
      </p>
      <LinesOverTime
        points={data.points}
        series={SERIES}
        display={display}
        summary={summary}
        format={percent}
        axisFormat={roundPercent}
        threshold={{ at: data.threshold, label: `threshold ${roundPercent(data.threshold)}` }}
      />
    </>
  );
}

export const errorRatePanel = definePanel(
  "errorRate",
  "The share of error_occurred events among all events shows up here.",
  shapeErrorRate,
  Body,
);
