// Results of Explore as frames, with all that they say in `detail`.

import type { Duration } from "@bufbuild/protobuf/wkt";
import type {
  FunnelDetail,
  FunnelResult,
  PathsDetail,
  PeriodUnit,
  QueryCost,
  RetentionDetail,
  RetentionResult,
  TrendDetail,
  TrendLine,
} from "../frame/detail.ts";
import type { Cell, Figure, Frame, FrameColumn, FrameContext } from "../frame/frame.ts";
import {
  Aggregation,
  type FunnelResult as FunnelResultMessage,
  type FunnelStep,
  type QueryCost as QueryCostMessage,
  type QueryFunnelRequest,
  type QueryFunnelResponse,
  type QueryPathsRequest,
  type QueryPathsResponse,
  type QueryRetentionRequest,
  type QueryRetentionResponse,
  type QueryTrendRequest,
  type QueryTrendResponse,
  RetentionPeriod,
  type RetentionResult as RetentionResultMessage,
  type TrendLine as TrendLineMessage,
  type TrendSeries,
} from "../gen/millrace/v1/explore_pb.ts";
import type { PanelContext } from "../gen/millrace/v1/range_pb.ts";
import { DAY, fromWallClock, toWallClock } from "../lib/time.ts";
import type { Compare, ExploreQuery } from "../query/query.ts";
import { type Counted, percentFactor, shareWords } from "../query/rate.ts";
import type { Init } from "./codec.ts";
import { decodeContext, float } from "./decode.ts";
import { strings } from "./strings.ts";
import { durationMs, timestampMs } from "./time.ts";

/** As the oneofs of the contract have it. */
export type ExploreResponse =
  | { case: "trend"; value: QueryTrendResponse }
  | { case: "funnel"; value: QueryFunnelResponse }
  | { case: "retention"; value: QueryRetentionResponse }
  | { case: "paths"; value: QueryPathsResponse };

/** Throws if the result violates the contract. */
export function decodeExplore(query: ExploreQuery, result: ExploreResponse, minInterval?: Duration): Frame {
  const { request } = query.explore;
  const frame = decodeResult(query, request, result);
  const cost = decodeCost(result.value.cost, frame.context, minInterval);
  return cost ? { ...frame, cost } : frame;
}

function decodeResult(query: ExploreQuery, request: object, result: ExploreResponse): Frame {
  switch (result.case) {
    case "trend":
      return trendFrame(request, result.value, query);
    case "funnel":
      return funnelFrame(request, result.value);
    case "retention":
      return retentionFrame(request, result.value);
    case "paths":
      return pathsFrame(request, result.value);
  }
}

function decodeCost(
  cost: QueryCostMessage | undefined,
  { source }: FrameContext,
  minInterval: Duration | undefined,
): QueryCost | undefined {
  if (!cost) return undefined;
  return {
    rowsRead: Number(cost.rowsRead),
    bytesRead: Number(cost.bytesRead),
    elapsedMs: cost.elapsed ? durationMs(cost.elapsed) : 0,
    ...(source && { source }),
    ...(minInterval && { minIntervalMs: durationMs(minInterval) }),
  };
}

const optionalMs = (duration: Duration | undefined): number | null => (duration ? durationMs(duration) : null);

type NewColumn = Pick<FrameColumn, "name" | "label" | "role" | "values"> & Partial<FrameColumn>;
const column = (init: NewColumn): FrameColumn => ({ type: "text", unit: "", additive: false, ...init });

const frameOf = (columns: FrameColumn[], figures: Figure[], context: FrameContext): Frame => ({
  columns,
  rows: columns[0]?.values.length ?? 0,
  figures,
  threshold: null,
  context,
});

const context = (message: PanelContext | undefined): FrameContext => decodeContext(message);

const stepName = (step: Init<FunnelStep> | undefined): string => step?.eventName || strings.anyEvent;

// ---- trends

function seriesWords(series: Init<TrendSeries>): string {
  const event = series.eventName || strings.anyEvent;
  const property = series.property ?? "";
  const what: Partial<Record<Aggregation, string>> = {
    [Aggregation.VISITORS]: strings.visitors,
    [Aggregation.UNLINKED_VISITORS]: strings.unlinkedVisitors,
    [Aggregation.SESSIONS]: strings.sessions,
    [Aggregation.EVENTS_PER_VISITOR]: strings.perVisitor,
    [Aggregation.SUM]: strings.sum(property),
    [Aggregation.AVERAGE]: strings.average(property),
    [Aggregation.MIN]: strings.min(property),
    [Aggregation.MAX]: strings.max(property),
    [Aggregation.P50]: strings.median(property),
    [Aggregation.P90]: strings.percentile(90, property),
    [Aggregation.P95]: strings.percentile(95, property),
    [Aggregation.P99]: strings.percentile(99, property),
  };
  const words = what[series.aggregation ?? Aggregation.UNSPECIFIED];
  return words === undefined ? event : strings.series(event, words);
}

const ADDITIVE = new Set([Aggregation.UNSPECIFIED, Aggregation.EVENTS, Aggregation.SUM]);

const COUNTED: Partial<Record<Aggregation, Counted>> = {
  [Aggregation.EVENTS]: "events",
  [Aggregation.VISITORS]: "visitors",
  [Aggregation.UNLINKED_VISITORS]: "visitors",
  [Aggregation.SESSIONS]: "sessions",
};

const countOf = ({ aggregation }: Init<TrendSeries>): Aggregation => aggregation || Aggregation.EVENTS;

interface Computed {
  name: string;
  /** What makes the values percentages. Undefined if they are none. */
  percentFactor?: number;
}

/** What the formula of a request computes. Undefined without one. */
function computedBy({ formula = "", series = [] }: Init<QueryTrendRequest>): Computed | undefined {
  if (!formula) return undefined;
  const [part, whole, more] = series;
  const factor = percentFactor(formula);
  if (part && whole && !more && factor && countOf(part) === countOf(whole)) {
    const counted = COUNTED[countOf(part)];
    const named = whole.eventName || whole.filter ? seriesWords(whole) : undefined;
    if (counted) return { name: shareWords(seriesWords(part), named, counted), percentFactor: factor };
  }
  // As in the example of the contract: a share of something.
  return { name: formula, ...(/^\s*100\s*\*/.test(formula) && { percentFactor: 1 }) };
}

function trendLine(request: Init<QueryTrendRequest>, message: TrendLineMessage): TrendLine {
  const { series = [] } = request;
  const own = series[message.series] ?? {};
  const computed = computedBy(request);
  const name = computed?.name ?? seriesWords(own);
  const factor = computed?.percentFactor ?? 1;
  const read = (value: number | undefined): number | null => {
    const number = float(value);
    return number === null ? null : number * factor;
  };
  const value = message.isOther ? strings.rest : message.breakdown.join(" · ");
  const several = !computed && series.length > 1;
  const broken = (request.breakdown ?? []).length > 0;
  const compared =
    message.total?.comparedValue !== undefined || message.values.some((each) => each.comparedValue !== undefined);
  return {
    label: broken ? [several ? name : "", value].filter(Boolean).join(" · ") : name,
    series: message.series,
    breakdown: [...message.breakdown],
    isOther: message.isOther,
    unit: computed?.percentFactor ? "%" : "",
    additive: !computed && ADDITIVE.has(own.aggregation ?? Aggregation.UNSPECIFIED),
    values: message.values.map(({ value }) => read(value)),
    total: read(message.total?.value),
    ...(compared && {
      compared: {
        values: message.values.map(({ comparedValue }) => read(comparedValue)),
        total: read(message.total?.comparedValue),
      },
    }),
  };
}

const numberType = (lines: (number | null)[][]): "int" | "float" =>
  lines.every((values) => values.every((value) => value === null || Number.isSafeInteger(value))) ? "int" : "float";

/** One measure per line. */
const wideColumns = (times: number[], lines: TrendLine[], valuesOf: (line: TrendLine) => (number | null)[]) => [
  column({ name: "bucket", label: strings.time, type: "time", role: "time", values: times }),
  ...lines.map((line, index) =>
    column({
      name: `line_${index}`,
      label: line.label,
      type: numberType([line.values]),
      role: "measure",
      unit: line.unit,
      additive: line.additive,
      values: valuesOf(line),
    }),
  ),
];

/** One row per line and bucket: values keep their colours, and the page can be filtered by them. */
function longColumns(
  times: number[],
  lines: TrendLine[],
  { fields, series, measure }: { fields: string[]; series: string[] | null; measure: string },
  valuesOf: (line: TrendLine) => (number | null)[],
) {
  const perRow = (read: (line: TrendLine) => Cell): Cell[] => times.flatMap(() => lines.map(read));
  const [first] = lines;
  const dimensions = fields.map((field, index) =>
    column({
      name: field,
      label: field,
      role: "dimension",
      values: perRow((line) => (line.isOther ? strings.rest : (line.breakdown[index] ?? null))),
    }),
  );
  if (series) {
    const names = perRow((line) => series[line.series] ?? "");
    dimensions.unshift(column({ name: "series", label: "Series", role: "dimension", values: names }));
  }
  const values = lines.map(valuesOf);
  return [
    column({
      name: "bucket",
      label: strings.time,
      type: "time",
      role: "time",
      values: times.flatMap((at) => lines.map(() => at)),
    }),
    ...dimensions,
    column({
      name: "value",
      label: measure,
      type: numberType(lines.map((line) => line.values)),
      role: "measure",
      unit: first?.unit ?? "",
      additive: lines.every(({ additive }) => additive),
      values: times.flatMap((_, index) => values.map((each) => each[index] ?? null)),
    }),
  ];
}

/** Where the earlier period begins: as the server has it, except for the days of a change of the clock. */
function earlierStart({ start, end, zone }: FrameContext, compare: Compare, range: ExploreQuery["range"]): number {
  const wall = toWallClock(start, zone);
  const back = (days: number) => fromWallClock(wall - days * DAY, zone);
  if (compare === "week" || range === "this-week") return back(7);
  if (range === "today" || range === "yesterday") return back(1);
  if (range === "this-month") {
    const first = new Date(wall);
    return fromWallClock(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() - 1, 1), zone);
  }
  return start - (end - start);
}

function trendFrame(request: Init<QueryTrendRequest>, message: QueryTrendResponse, query: ExploreQuery): Frame {
  const own = context(message.context);
  const buckets = message.buckets.map(timestampMs);
  const lines = message.lines.map((line) => trendLine(request, line));
  for (const { values, label } of lines) {
    if (values.length !== buckets.length) {
      throw new Error(`line ${label} has ${values.length} values for ${buckets.length} buckets`);
    }
  }
  const fields = request.breakdown ?? [];
  const names = (request.series ?? []).map(seriesWords);
  const computed = computedBy(request);
  const series = computed || names.length < 2 ? null : names;
  const measure = computed?.name || (names.length === 1 ? names[0] : undefined) || strings.value;
  const columns = (times: number[], valuesOf: (line: TrendLine) => (number | null)[]) =>
    fields.length === 0
      ? wideColumns(times, lines, valuesOf)
      : longColumns(times, lines, { fields, series, measure }, valuesOf);
  const compare = query.compare;
  const comparedLabel = compare === "week" ? strings.weekAgo : strings.previousPeriod;
  const detail: TrendDetail = { kind: "trend", buckets, fields, lines };
  const figures = fields.length === 0 ? lines.map((line) => totalFigure(line, comparedLabel)) : [];
  const frame: Frame = {
    ...frameOf(
      columns(buckets, ({ values }) => values),
      figures,
      own,
    ),
    detail,
  };
  if (!compare || !lines.some(({ compared }) => compared)) return frame;
  const start = earlierStart(own, compare, query.range);
  const shift = own.start - start;
  const earlier = { ...own, start, end: own.end - shift, partialFrom: null };
  const times = buckets.map((at) => at - shift);
  const none = buckets.map(() => null);
  frame.comparison = frameOf(
    columns(times, ({ compared }) => compared?.values ?? none),
    [],
    earlier,
  );
  return frame;
}

/** The whole range of a line as a figure. */
export function totalFigure({ label, unit, total, compared }: TrendLine, comparedLabel: string): Figure {
  const figure: Figure = { label, unit, value: total, isTime: false };
  if (compared) {
    const { total: earlier } = compared;
    const changePct = total === null || !earlier ? null : (100 * (total - earlier)) / Math.abs(earlier);
    figure.comparison = { label: comparedLabel, value: earlier, changePct };
  }
  return figure;
}

// ---- funnels

const funnelResult = (message: FunnelResultMessage): FunnelResult => ({
  value: message.value,
  steps: message.steps.map((step) => ({
    count: Number(step.count),
    fromFirstPct: float(step.fromFirstPct),
    fromPreviousPct: float(step.fromPreviousPct),
    medianMs: optionalMs(step.medianFromPrevious),
  })),
  trend: message.trend.map((point) => {
    if (!point.bucket) throw new Error("a point of the funnel has no time");
    return {
      at: timestampMs(point.bucket),
      entered: Number(point.entered),
      converted: Number(point.converted),
      pct: float(point.conversionPct),
      incomplete: point.incomplete,
    };
  }),
  timeToConvert: message.timeToConvert
    ? {
        averageMs: optionalMs(message.timeToConvert.average),
        medianMs: optionalMs(message.timeToConvert.median),
        p90Ms: optionalMs(message.timeToConvert.p90),
        histogram: message.timeToConvert.histogram.map(Number),
        intervalMs: optionalMs(message.timeToConvert.interval) ?? 0,
      }
    : null,
  running: Number(message.running),
});

const entityWords = (groupBy: string | undefined): string => {
  if (!groupBy || groupBy === "visitor") return strings.visitors;
  return groupBy === "session" ? strings.sessions : groupBy;
};

function funnelFrame(request: Init<QueryFunnelRequest>, message: QueryFunnelResponse): Frame {
  if (!message.overall) throw new Error("the funnel has no result");
  const field = request.breakdown ?? "";
  const detail: FunnelDetail = {
    kind: "funnel",
    steps: (request.steps ?? []).map((step) => stepName(step)),
    field,
    overall: funnelResult(message.overall),
    breakdown: message.breakdown.map(funnelResult),
    truncatedVisitors: Number(message.truncatedVisitors),
    entity: entityWords(request.groupBy),
  };
  const { overall, breakdown, entity } = detail;
  const rows = [overall, ...breakdown].flatMap((result) =>
    result.steps.map((step, index) => ({ result, step, index })),
  );
  const columns = [
    column({
      name: "step",
      label: strings.step,
      role: "dimension",
      values: rows.map(({ index }) => `${index + 1}. ${detail.steps[index] ?? ""}`),
    }),
    column({
      name: "count",
      label: strings.reached(entity),
      type: "int",
      role: "measure",
      values: rows.map(({ step }) => step.count),
    }),
    column({
      name: "from_first",
      label: strings.ofFirst,
      type: "float",
      role: "detail",
      unit: "%",
      values: rows.map(({ step }) => step.fromFirstPct),
    }),
    column({
      name: "from_previous",
      label: strings.ofPrevious,
      type: "float",
      role: "detail",
      unit: "%",
      values: rows.map(({ step }) => step.fromPreviousPct),
    }),
    column({
      name: "median_time",
      label: strings.medianTime,
      type: "float",
      role: "detail",
      unit: "ms",
      values: rows.map(({ step }) => step.medianMs),
    }),
  ];
  if (field) {
    const values = rows.map(({ result }) => (result === overall ? strings.whole : result.value));
    columns.unshift(column({ name: field, label: field, role: "dimension", values }));
  }
  const median = overall.timeToConvert?.medianMs ?? null;
  const figures: Figure[] = [
    { label: strings.converted, unit: "%", value: overall.steps.at(-1)?.fromFirstPct ?? null, isTime: false },
    { label: strings.entered(entity), unit: "", value: overall.steps[0]?.count ?? null, isTime: false },
    ...(median === null ? [] : [{ label: strings.toConvert, unit: "ms", value: median, isTime: false }]),
  ];
  return { ...frameOf(columns, figures, context(message.context)), detail };
}

// ---- retention

const retentionResult = (message: RetentionResultMessage): RetentionResult => ({
  value: message.value,
  cohorts: message.cohorts.map((cohort) => {
    if (!cohort.start) throw new Error("a cohort has no start");
    return {
      start: timestampMs(cohort.start),
      visitors: Number(cohort.visitors),
      cells: cohort.cells.map(({ visitors, pct, incomplete }) => ({
        visitors: Number(visitors),
        pct: float(pct),
        incomplete,
      })),
    };
  }),
  mean: message.mean.map(({ pct }) => float(pct)),
});

const PERIODS: Partial<Record<RetentionPeriod, PeriodUnit>> = {
  [RetentionPeriod.HOUR]: "hour",
  [RetentionPeriod.DAY]: "day",
  [RetentionPeriod.MONTH]: "month",
};

function retentionFrame(request: Init<QueryRetentionRequest>, message: QueryRetentionResponse): Frame {
  if (!message.overall) throw new Error("the retention has no result");
  const field = request.breakdown ?? "";
  const period = PERIODS[request.period ?? RetentionPeriod.UNSPECIFIED] ?? "week";
  const overall = retentionResult(message.overall);
  const breakdown = message.breakdown.map(retentionResult);
  const widest = Math.max(1, ...overall.cohorts.map(({ cells }) => cells.length), overall.mean.length);
  const detail: RetentionDetail = { kind: "retention", period, periods: widest - 1, field, overall, breakdown };
  const rows = [overall, ...breakdown].flatMap((result) => result.cohorts.map((cohort) => ({ result, cohort })));
  const columns = [
    column({
      name: "cohort",
      label: strings.cohort,
      type: "time",
      role: "time",
      values: rows.map(({ cohort }) => cohort.start),
    }),
    column({
      name: "visitors",
      label: strings.cohortVisitors,
      type: "int",
      role: "measure",
      values: rows.map(({ cohort }) => cohort.visitors),
    }),
    ...Array.from({ length: widest }, (_, index) =>
      column({
        name: `period_${index}`,
        label: `${strings.period[period]} ${index}`,
        type: "float",
        role: "detail",
        unit: "%",
        values: rows.map(({ cohort }) => cohort.cells[index]?.pct ?? null),
      }),
    ),
  ];
  if (field) {
    const values = rows.map(({ result }) => (result === overall ? strings.whole : result.value));
    columns.unshift(column({ name: field, label: field, role: "dimension", values }));
  }
  const figures: Figure[] = [
    { label: strings.returned[period], unit: "%", value: overall.mean[1] ?? null, isTime: false },
  ];
  return { ...frameOf(columns, figures, context(message.context)), detail };
}

// ---- paths

function pathsFrame(request: Init<QueryPathsRequest>, message: QueryPathsResponse): Frame {
  const before = request.before ?? false;
  const transitions = message.transitions.map(({ step, from, to, count, averageTime }) => ({
    step,
    from,
    to,
    count: Number(count),
    // The end of a visit has no time.
    averageMs: to === "" ? null : optionalMs(averageTime),
  }));
  const detail: PathsDetail = {
    kind: "paths",
    before,
    event: request.event ? stepName(request.event) : "",
    steps: request.steps ?? 3,
    paths: Number(message.paths),
    transitions,
    truncatedVisitors: Number(message.truncatedVisitors),
  };
  const columns = [
    column({
      name: "step",
      label: strings.step,
      type: "int",
      role: "dimension",
      values: transitions.map(({ step }) => step),
    }),
    column({ name: "from", label: strings.from, role: "dimension", values: transitions.map(({ from }) => from) }),
    column({
      name: "to",
      label: before ? strings.reachedFrom : strings.to,
      role: "dimension",
      values: transitions.map(({ to }) => to || (before ? strings.visitBegan : strings.visitEnded)),
    }),
    column({
      name: "count",
      label: strings.count,
      type: "int",
      role: "measure",
      additive: true,
      values: transitions.map(({ count }) => count),
    }),
    column({
      name: "mean_time",
      label: strings.meanTime,
      type: "float",
      role: "detail",
      unit: "ms",
      values: transitions.map(({ averageMs }) => averageMs),
    }),
  ];
  const figures: Figure[] = [{ label: strings.paths, unit: "", value: detail.paths, isTime: false }];
  return { ...frameOf(columns, figures, context(message.context)), detail };
}
