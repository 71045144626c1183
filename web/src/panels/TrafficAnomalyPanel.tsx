import { formatChange, formatCount } from "../lib/format.ts";
import { AnimatedNumber } from "./AnimatedNumber.tsx";
import { type BodyProps, definePanel } from "./panel.ts";
import { shapeTrafficAnomaly, type TrafficAnomaly } from "./trafficAnomaly.ts";

function Change({ value }: { value: number }) {
  const up = value >= 0;
  return (
    <span className={`rounded-full px-2.5 py-0.5 text-base font-semibold ${up ? "chip-up" : "chip-down"}`}>
      <span aria-hidden="true">{up ? "▲ " : "▼ "}</span>
      <span className="tabular-nums">{formatChange(value)}</span>
    </span>
  );
}

function Body({ data }: BodyProps<TrafficAnomaly>) {
  return (
    <>
      <p className="flex flex-wrap items-baseline gap-x-4 gap-y-1">
        <AnimatedNumber text={formatCount(data.current)} className="headline-number" />
        {data.change !== null && <Change value={data.change} />}
      </p>
      <dl className="mt-3 flex gap-8 text-sm">
        <div>
          <dt className="text-muted">Same time last week</dt>
          <dd className="text-xl font-semibold">
            <AnimatedNumber text={formatCount(data.previous)} />
          </dd>
        </div>
        {data.change === null && <p className="self-end text-muted">No page views then, so there is no comparison.</p>}
      </dl>
    </>
  );
}

export const trafficAnomalyPanel = definePanel(
  "trafficAnomaly",
  "page_view events appear here.",
  shapeTrafficAnomaly,
  Body,
);
