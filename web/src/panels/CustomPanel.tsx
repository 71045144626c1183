import { Chart } from "../gen/millrace/v1/dashboard_pb.ts";
import { formatDecimal, formatDuration, formatPercent } from "../lib/format.ts";
import { AnimatedNumber } from "./AnimatedNumber.tsx";
import { BarsOverTime } from "./charts/BarsOverTime.tsx";
import { HorizontalBars } from "./charts/HorizontalBars.tsx";
import { Legend } from "./charts/Legend.tsx";
import { LinesOverTime } from "./charts/LinesOverTime.tsx";
import { type CustomPanelData, shapeCustom } from "./custom.ts";
import { type BodyProps, definePanel, type PanelDefinition } from "./panel.ts";
import { TableView } from "./TableView.tsx";

function unitFormatter(unit: string): (value: number) => string {
  if (unit === "%") return formatPercent;
  if (unit === "ms") return formatDuration;
  return formatDecimal;
}

function Body({ data, display, summary }: BodyProps<CustomPanelData>) {
  const { chart, unit, table, points, series, bars } = data;
  const format = unitFormatter(unit);
  if (chart === Chart.NUMBER) {
    const first = table.rows[0]?.[0] ?? null;
    const unitInValue = unit === "" || unit === "%" || unit === "ms";
    return (
      <p className="flex flex-wrap items-baseline gap-x-4">
        <AnimatedNumber
          text={typeof first === "number" ? format(first) : String(first ?? "–")}
          className="headline-number"
        />
        {!unitInValue && <span className="text-sm text-muted">{unit}</span>}
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
  // Vertical bars over categories are drawn as horizontal bars too: there is room for the category names.
  if (bars.length > 0 && series.length > 0 && chart !== Chart.TABLE) {
    const rows = bars.map(({ name, values }) => ({ ...values, name }));
    return (
      <>
        {legend}
        <HorizontalBars rows={rows} series={series} summary={summary} format={format} />
      </>
    );
  }
  return <TableView table={table} zone={display.zone} caption={summary} />;
}

export const customPanel = (chart: Chart, unit: string): PanelDefinition =>
  definePanel(
    "table",
    "The query returned no rows.",
    (value, display) => shapeCustom(value, chart, unit, display),
    Body,
  );
