import { Chart } from "../gen/millrace/v1/dashboard_pb.ts";
import { decimal, duration, percent } from "../lib/format.ts";
import { BarsOverTime } from "./charts/BarsOverTime.tsx";
import { Legend } from "./charts/Legend.tsx";
import { LinesOverTime } from "./charts/LinesOverTime.tsx";
import { LyingBars } from "./charts/LyingBars.tsx";
import { type Custom, shapeCustom } from "./custom.ts";
import { Figure } from "./Figure.tsx";
import { type BodyProps, definePanel, type PanelView } from "./panel.ts";
import { TableView } from "./TableView.tsx";

function withUnit(unit: string): (value: number) => string {
  if (unit === "%") return percent;
  if (unit === "ms") return duration;
  return decimal;
}

function Body({ data, display, summary }: BodyProps<Custom>) {
  const { chart, unit, table, points, series, bars } = data;
  const format = withUnit(unit);
  if (chart === Chart.NUMBER) {
    const first = table.rows[0]?.[0] ?? null;
    const worded = unit === "" || unit === "%" || unit === "ms";
    return (
      <p className="flex flex-wrap items-baseline gap-x-4">
        <Figure text={typeof first === "number" ? format(first) : String(first ?? "–")} className="lead-figure" />
        {!worded && <span className="text-sm text-muted">{unit}</span>}
      </p>
    );
  }
  const legend = series.length > 1 && <Legend series={series} />;
  const shared = { display, summary, format, series };
  if (points.length > 0 && chart === Chart.LINE) {
    return (
      <>
        {legend}
        <LinesOverTime points={points} {...shared} />
      </>
    );
  }
  if (points.length > 0 && chart === Chart.BAR) {
    return (
      <>
        {legend}
        <BarsOverTime points={points} {...shared} />
      </>
    );
  }
  // Upright bars over names are drawn lying too: names are read better so.
  if (bars.length > 0 && series.length > 0 && chart !== Chart.TABLE) {
    const rows = bars.map(({ name, figures }) => ({ ...figures, name }));
    return (
      <>
        {legend}
        <LyingBars rows={rows} series={series} summary={summary} format={format} />
      </>
    );
  }
  return <TableView table={table} zone={display.zone} caption={summary} />;
}

export const customPanel = (chart: Chart, unit: string): PanelView =>
  definePanel(
    "table",
    "Its statement has found no rows.",
    (value, display) => shapeCustom(value, chart, unit, display),
    Body,
  );
