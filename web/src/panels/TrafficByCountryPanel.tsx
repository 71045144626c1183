import { formatCompact, formatCount } from "../lib/format.ts";
import { Legend } from "./charts/Legend.tsx";
import { StackedOverTime } from "./charts/StackedOverTime.tsx";
import { type BodyProps, definePanel } from "./panel.ts";
import { shapeTrafficByCountry, type TrafficByCountry } from "./trafficByCountry.ts";

function Body({ data, display, summary }: BodyProps<TrafficByCountry>) {
  return (
    <>
      <Legend series={data.series.map((series) => ({ ...series, value: formatCompact(series.total) }))} />
      <StackedOverTime
        points={data.points}
        series={data.series}
        display={display}
        summary={summary}
        format={formatCount}
      />
    </>
  );
}

export const trafficByCountryPanel = definePanel(
  "trafficByCountry",
  "page_view events appear here.",
  shapeTrafficByCountry,
  Body,
);
