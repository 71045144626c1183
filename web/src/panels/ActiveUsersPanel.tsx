import { formatCount } from "../lib/format.ts";
import { BUCKET_LABELS, RANGE_LABELS } from "../lib/time.ts";
import { AnimatedNumber } from "./AnimatedNumber.tsx";
import { type ActiveUsers, shapeActiveUsers } from "./activeUsers.ts";
import { LinesOverTime } from "./charts/LinesOverTime.tsx";
import { type BodyProps, definePanel } from "./panel.ts";

const SERIES = [{ key: "users", label: "Active users", color: "var(--c1)" }];

function Body({ data, display, summary }: BodyProps<ActiveUsers>) {
  return (
    <>
      <p className="flex flex-wrap items-baseline gap-x-4">
        <AnimatedNumber text={formatCount(data.now)} className="hero text-accent" />
        <span className="text-sm text-muted">
          sessions in the last 5 minutes
          <br />
          <span className="tabular-nums">
            peak of the {RANGE_LABELS[display.range]}: {formatCount(data.peak)} within {BUCKET_LABELS[display.range]}
          </span>
        </span>
      </p>
      <LinesOverTime
        points={data.points}
        series={SERIES}
        display={display}
        summary={summary}
        format={formatCount}
        filled
        sparkline
      />
    </>
  );
}

export const activeUsersPanel = definePanel(
  "activeUsers",
  "Events with a session_id appear here.",
  shapeActiveUsers,
  Body,
);
