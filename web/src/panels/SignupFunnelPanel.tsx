import { formatCount, formatPercent } from "../lib/format.ts";
import { AnimatedNumber } from "./AnimatedNumber.tsx";
import { BarsOverTime } from "./charts/BarsOverTime.tsx";
import { Legend } from "./charts/Legend.tsx";
import { type BodyProps, definePanel } from "./panel.ts";
import { type SignupFunnel, shapeSignupFunnel } from "./signupFunnel.ts";

const STARTED = { key: "started", label: "Started", color: "var(--c2)" };
const COMPLETED = { key: "completed", label: "Completed", color: "var(--c1)" };
const SERIES = [STARTED, COMPLETED];
const RATE = { key: "conversion", label: "Conversion", color: "var(--c4)" };

function Body({ data, display, summary }: BodyProps<SignupFunnel>) {
  return (
    <>
      <p className="mb-2 flex flex-wrap items-baseline gap-x-4">
        <AnimatedNumber
          text={data.conversion === null ? "–" : formatPercent(data.conversion)}
          className="headline-number"
        />
        <span className="text-sm text-muted">conversion</span>
      </p>
      <Legend
        series={[
          { ...STARTED, value: formatCount(data.started) },
          { ...COMPLETED, value: formatCount(data.completed) },
          RATE,
        ]}
      />
      <BarsOverTime
        points={data.points}
        series={SERIES}
        rate={RATE}
        display={display}
        summary={summary}
        format={formatCount}
      />
    </>
  );
}

export const signupFunnelPanel = definePanel(
  "signupFunnel",
  "signup_started and signup_completed events appear here.",
  shapeSignupFunnel,
  Body,
);
