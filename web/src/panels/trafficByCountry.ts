import type { GetTrafficByCountryResponse } from "../gen/millrace/v1/dashboard_pb.ts";
import { countryName, formatCount } from "../lib/format.ts";
import { column } from "../lib/table.ts";
import { RANGE_LABELS } from "../lib/time.ts";
import type { Display, ShapedPanel } from "./panel.ts";
import { type Point, type Series, seriesColor, toMillis } from "./points.ts";

export interface CountrySeries extends Series {
  total: number;
}

export interface TrafficByCountry {
  series: CountrySeries[];
  points: Point[];
}

/** More series than this are hard to distinguish. */
const MAX_COUNTRIES = 5;
const OTHER = "other";

export function shapeTrafficByCountry(
  value: GetTrafficByCountryResponse,
  { range }: Display,
): ShapedPanel<TrafficByCountry> {
  const totals = new Map<string, number>();
  for (const point of value.points) {
    totals.set(point.countryCode, (totals.get(point.countryCode) ?? 0) + Number(point.views));
  }
  const ranked = [...totals].sort(([a, x], [b, y]) => y - x || a.localeCompare(b));
  const leading = ranked.slice(0, MAX_COUNTRIES);
  const rest = ranked.slice(MAX_COUNTRIES);
  const series: CountrySeries[] = leading.map(([code, total], index) => ({
    key: code,
    label: countryName(code),
    color: seriesColor(index),
    total,
  }));
  if (rest.length > 0) {
    const total = rest.reduce((sum, [, views]) => sum + views, 0);
    series.push({ key: OTHER, label: `Other (${rest.length})`, color: "var(--other)", total });
  }

  const leadingCodes = new Set(leading.map(([code]) => code));
  const points = new Map<number, Point>();
  for (const { bucket, countryCode, views, incomplete } of value.points) {
    const at = toMillis(bucket);
    const point = points.get(at) ?? { at, incomplete, values: Object.fromEntries(series.map(({ key }) => [key, 0])) };
    const key = leadingCodes.has(countryCode) ? countryCode : OTHER;
    point.values[key] = (point.values[key] ?? 0) + Number(views);
    points.set(at, point);
  }

  const totalsText = series.map(({ label, total }) => `${label} ${formatCount(total)}`).join(", ");
  return {
    data: { series, points: [...points.values()].sort((a, b) => a.at - b.at) },
    summary: `Page views by country in the ${RANGE_LABELS[range]}: ${totalsText}.`,
    headline: [`page views in the ${RANGE_LABELS[range]}`],
    table: {
      columns: [
        column("bucket", "From", "time"),
        column("country_code", "Country", "text"),
        column("views", "Views", "count"),
        column("visitors", "Visitors", "count"),
        column("incomplete", "Incomplete", "flag"),
      ],
      rows: value.points.map((point) => [
        toMillis(point.bucket),
        point.countryCode,
        Number(point.views),
        Number(point.visitors),
        point.incomplete,
      ]),
    },
    empty: ranked.length === 0,
    approximate: value.context?.approximate ?? false,
  };
}
