// Results of questions, as the server sends them, for tests and for the development page.

import { decodeExplore, type ExploreResponse } from "../api/decodeExplore.ts";
import { type ExploreRequest, exploration } from "../api/explore.ts";
import { toDuration, toTimestamp } from "../api/time.ts";
import type { ChartKind } from "../frame/catalog.ts";
import type { Frame } from "../frame/frame.ts";
import { type ExploreQuery, exploreQuery, type Selection } from "../query/query.ts";
import { HOUR, START } from "./frames.ts";

const DAY = 24 * HOUR;
const now = START + HOUR;

/** Repeatable noise between 0 and 1. */
const noise = (seed: number): number => {
  const value = Math.sin(seed * 78.233) * 43_758.5453;
  return value - Math.floor(value);
};

const context = (days: number, partial = false) => ({
  rangeStart: toTimestamp(now - days * DAY),
  rangeEnd: toTimestamp(now),
  computedAt: toTimestamp(now),
  timeZone: "Europe/Madrid",
  approximate: false,
  partialFrom: partial ? toTimestamp(now - HOUR) : undefined,
  span: "",
  bucketSeconds: 3600,
  bucket: 5,
  source: 2,
});
const cost = { rowsRead: 1_240_000n, bytesRead: 48_000_000n, elapsed: toDuration(182) };

export interface ExploreSample {
  name: string;
  title: string;
  chart: ChartKind;
  query: ExploreQuery;
  frame: Frame;
}

function sample(
  name: string,
  title: string,
  chart: ChartKind,
  request: ExploreRequest,
  response: { case: ExploreRequest["case"]; value: object },
  selection: Partial<Selection> = {},
): ExploreSample {
  const query = exploreQuery(exploration(request), { range: "7d", zone: "Europe/Madrid", ...selection });
  return { name, title, chart, query, frame: decodeExplore(query, response as ExploreResponse) };
}

// ---- trends

const hours = Array.from({ length: 48 }, (_, index) => now - (47 - index) * HOUR);
const wave = (index: number, scale: number, seed: number) =>
  Math.round(scale * (0.6 + 0.4 * Math.sin((2 * Math.PI * index) / 24) + 0.25 * noise(index * 3 + seed)));

function line(scale: number, seed: number, rest: object = {}) {
  const values = hours.map((_, index) => ({
    value: index === 47 ? Math.round(scale * 0.2) : wave(index, scale, seed),
    comparedValue: wave(index, scale * 0.85, seed + 7),
  }));
  const total = (read: (each: (typeof values)[number]) => number) => values.reduce((sum, each) => sum + read(each), 0);
  return {
    series: 0,
    breakdown: [],
    isOther: false,
    values,
    total: { value: total(({ value }) => value), comparedValue: total(({ comparedValue }) => comparedValue) },
    ...rest,
  };
}
const trend = (lines: object[]) => ({
  case: "trend" as const,
  value: { buckets: hours.map(toTimestamp), lines, context: context(2, true), cost },
});
const SERIES = [{ eventName: "page_view" }, { eventName: "signup_completed", aggregation: 2 }];
const PLANS = ["free", "starter", "pro", "enterprise"];
const byPlan = trend([
  ...PLANS.map((plan, index) => line(400 / (index + 1), index, { breakdown: [plan] })),
  line(60, 9, { isOther: true }),
]);

// ---- funnels

const STEPS = ["page_view", "signup_started", "signup_completed", "feature_used", "checkout_completed"];
const SHARES = [1, 0.62, 0.41, 0.36, 0.12];
function funnelResult(value: string, entered: number, better: number) {
  const counts = SHARES.map((share, index) => Math.round(entered * share ** (1 / better) * (index === 0 ? 1 : 1)));
  const steps = counts.map((count, index) => ({
    count: BigInt(count),
    fromFirstPct: (100 * count) / entered,
    fromPreviousPct: index === 0 ? undefined : (100 * count) / (counts[index - 1] ?? 1),
    medianFromPrevious: index === 0 ? undefined : toDuration([0, 42_000, 125_000, 5_400_000, 93_600_000][index] ?? 0),
  }));
  const last = counts.at(-1) ?? 0;
  return {
    value,
    steps,
    trend: hours.map((at, index) => {
      const all = wave(index, entered / 48, 3);
      const pct = 12 * better * (0.7 + 0.6 * noise(index));
      return {
        bucket: toTimestamp(at),
        entered: BigInt(all),
        converted: BigInt(Math.round((all * pct) / 100)),
        conversionPct: pct,
        incomplete: index > 40,
      };
    }),
    timeToConvert: {
      average: toDuration(4.1 * HOUR),
      median: toDuration(2.6 * HOUR),
      p90: toDuration(9.5 * HOUR),
      histogram: Array.from({ length: 24 }, (_, i) => BigInt(Math.round(last * 0.3 * Math.exp(-((i - 4) ** 2) / 30)))),
      interval: toDuration(HOUR / 2),
    },
    running: BigInt(Math.round(entered * 0.04)),
  };
}
const funnelRequest = { steps: STEPS.map((eventName) => ({ eventName })) };
const funnel = (breakdown: object[] = []) => ({
  case: "funnel" as const,
  value: { overall: funnelResult("", 12_480, 1), breakdown, truncatedVisitors: 0n, context: context(7), cost },
});
const countries = [
  funnelResult("Spain", 5_200, 1.2),
  funnelResult("Germany", 3_100, 0.9),
  funnelResult("A country with a name that is far too long for its row in a narrow card", 900, 1.6),
  funnelResult("(none)", 120, 0.5),
];

// ---- retention

function retentionResult(value: string, factor: number) {
  const cohorts = Array.from({ length: 9 }, (_, index) => {
    const visitors = index === 3 ? 0 : Math.round(1_400 * (0.7 + 0.6 * noise(index + factor)));
    return {
      start: toTimestamp(now - (8 - index) * 7 * DAY),
      visitors: BigInt(visitors),
      cells: Array.from({ length: 9 - index }, (_, period) => {
        const share = period === 0 ? 1 : factor * (0.42 / period ** 0.6) * (0.85 + 0.3 * noise(index * 9 + period));
        return {
          visitors: BigInt(Math.round(visitors * share)),
          pct: visitors === 0 ? undefined : 100 * share,
          incomplete: period === 8 - index,
        };
      }),
    };
  });
  return {
    value,
    cohorts,
    mean: Array.from({ length: 9 }, (_, period) => ({
      pct: period === 8 ? undefined : period === 0 ? 100 : (100 * factor * 0.42) / period ** 0.6,
    })),
  };
}
const retention = (breakdown: object[] = []) => ({
  case: "retention" as const,
  value: { overall: retentionResult("", 1), breakdown, context: context(63), cost },
});

// ---- paths

const PAGES = ["/", "/pricing", "/docs", "/features", "/blog/2026/11/how-we-count-visitors-without-cookies", "/signup"];
const transition = (step: number, from: string, to: string, count: number) => ({
  step,
  from,
  to,
  count: BigInt(count),
  averageTime: to === "" ? undefined : toDuration(20_000 + 90_000 * noise(count)),
});
function pathSteps(before: boolean) {
  const transitions: object[] = [];
  let nodes: [string, number][] = [["page_view", 9_000]];
  for (let step = 1; step <= 3; step += 1) {
    const next = new Map<string, number>();
    for (const [from, count] of nodes) {
      if (from === "" || from === "(other)") continue;
      const targets = [...PAGES.filter((page) => page !== from), "/about", "/jobs", "/status", "(other)", ""];
      const weights = targets.map(
        (target, index) => (target === "" ? 1.4 : 1 / (index + 1.5)) * (0.6 + noise(index + step)),
      );
      const total = weights.reduce((sum, each) => sum + each, 0);
      for (const [index, to] of targets.entries()) {
        const part = Math.round((count * (weights[index] ?? 0)) / total);
        if (part === 0) continue;
        transitions.push(transition(step, from, to, part));
        next.set(to, (next.get(to) ?? 0) + part);
      }
    }
    nodes = [...next];
  }
  const request: ExploreRequest = {
    case: "paths",
    value: { event: { eventName: "page_view" }, before, steps: 3 },
  };
  const value = { transitions, paths: 9_000n, truncatedVisitors: before ? 3n : 0n, context: context(7), cost };
  return { request, response: { case: "paths" as const, value } };
}
const [forward, backward] = [pathSteps(false), pathSteps(true)];

const trendRequest: ExploreRequest = { case: "trend", value: { series: SERIES } };
const planRequest: ExploreRequest = {
  case: "trend",
  value: { series: [{ eventName: "feature_used" }], breakdown: ["plan"] },
};
const funnelOf = (change: object = {}): ExploreRequest => ({ case: "funnel", value: { ...funnelRequest, ...change } });

export const EXPLORE_SAMPLES: ExploreSample[] = [
  sample("funnel", "Sign-up to checkout", "steps", funnelOf(), funnel()),
  sample("funnel_by_country", "Sign-up by country", "steps", funnelOf({ breakdown: "country" }), funnel(countries)),
  sample("time_to_convert", "Time to checkout", "time-to-convert", funnelOf(), funnel()),
  sample("conversion", "Conversion by entry", "line", funnelOf(), funnel()),
  sample("retention", "Weekly retention", "grid", { case: "retention", value: {} }, retention()),
  sample(
    "retention_by_plan",
    "Retention by plan",
    "line",
    { case: "retention", value: { breakdown: "plan" } },
    retention([retentionResult("pro", 1.3), retentionResult("free", 0.6)]),
  ),
  sample("paths", "After a page view", "flow", forward.request, forward.response),
  sample("paths_before", "Before a page view", "flow", backward.request, backward.response),
  sample("trend_line", "Views and sign-ups", "line", trendRequest, trend([line(900, 1), line(120, 2, { series: 1 })]), {
    compare: "previous",
  }),
  sample("trend_stacked", "Features by plan", "stacked", planRequest, byPlan),
  sample("trend_bars", "Features by plan, totals", "horizontal-bar", planRequest, byPlan),
  sample("trend_table", "Features by plan, table", "table", planRequest, byPlan, { compare: "previous" }),
  sample(
    "trend_number",
    "Views",
    "number",
    { case: "trend", value: { series: [{ eventName: "page_view" }] } },
    trend([line(900, 1)]),
    {
      compare: "previous",
    },
  ),
  sample(
    "trend_numbers",
    "Views and sign-ups, totals",
    "number",
    trendRequest,
    trend([line(900, 1), line(120, 2, { series: 1 })]),
    {
      compare: "week",
    },
  ),
];
