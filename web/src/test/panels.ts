// Panels of every kind, with realistic and with hostile values, for tests and for the development page.

import type { Frame } from "../frame/frame.ts";
import type { PanelInfo } from "../live/protocol.ts";
import type { PanelQuery } from "../query/query.ts";
import { context, dimension, frame, HOUR, MINUTE, measure, START, timeColumn } from "./frames.ts";

export const info = (name: string, overrides: Partial<PanelInfo> = {}): PanelInfo => ({
  name,
  title: name,
  description: `What ${name} is about.`,
  unit: "",
  chart: "line",
  order: 1000,
  size: "medium",
  top: 5,
  events: ["page_view"],
  sql: "SELECT 1",
  refreshSeconds: 5,
  builtIn: false,
  filterable: true,
  comparable: true,
  ...overrides,
});

export const query = (panel: string, overrides: Partial<PanelQuery> = {}): PanelQuery => ({
  panel,
  range: "1h",
  zone: "UTC",
  ...overrides,
});

/** Repeatable noise between 0 and 1. */
const noise = (seed: number): number => {
  const value = Math.sin(seed * 12.9898) * 43_758.5453;
  return value - Math.floor(value);
};
const wave = (i: number, period: number) => (Math.sin((2 * Math.PI * i) / period) + 1) / 2;

const minutes = Array.from({ length: 61 }, (_, i) => START + i * MINUTE);
const running = { end: START + HOUR + MINUTE, partialFrom: START + HOUR, computedAt: START + HOUR + 22_000 };
const counts = (scale: number, seed: number) =>
  minutes.map((_, i) =>
    i === 60
      ? Math.round(scale * 0.3)
      : Math.round(scale * (0.6 + 0.5 * wave(i + seed * 9, 40) + 0.2 * noise(i * 7 + seed))),
  );

const COUNTRIES: [string, number][] = [
  ["DE", 420],
  ["US", 380],
  ["ES", 260],
  ["JP", 180],
  ["FR", 120],
  ["GB", 80],
  ["ZZ", 30],
  ["BR", 20],
];

const PAGES = [
  "https://shop.example.com/collections/summer/products/linen-shirt-white?variant=41",
  "https://shop.example.com/collections/summer/products/linen-shirt-black?variant=42",
  "/",
  "/pricing",
  "/docs/getting-started/installation",
  "/blog/2026/11/how-we-count-visitors-without-cookies",
  "/checkout",
  "<script>alert(1)</script>",
  '=HYPERLINK("http://evil")',
  "/مرحبا/日本語/🙂",
  "",
  "/about",
];

const figure = (value: Frame["figures"][number]["value"], label: string, unit = "") => ({
  value,
  label,
  unit,
  isTime: false,
});

export interface Sample {
  info: PanelInfo;
  frame: Frame;
}

export const SAMPLES: Sample[] = [
  {
    info: info("active_sessions", { title: "Active sessions", unit: "sessions", chart: "area", events: [] }),
    frame: frame(
      [
        timeColumn(minutes),
        measure("sessions", counts(700, 1), { label: "Sessions", unit: "sessions", additive: false }),
      ],
      {
        figures: [figure(1478, "sessions in the last 5 minutes"), figure(912, "peak within a minute")],
        context: context({ ...running, approximate: true }),
      },
    ),
  },
  {
    info: info("error_rate", { title: "Error rate", unit: "%", chart: "line" }),
    frame: frame(
      [
        timeColumn(minutes),
        measure(
          "rate",
          minutes.map((_, i) => (i > 20 && i < 26 ? null : 0.3 + 0.5 * noise(i) + (i > 44 && i < 50 ? 0.6 : 0))),
          {
            label: "Errors",
            type: "float",
            unit: "%",
            additive: false,
          },
        ),
        measure("errors", counts(9, 2), { label: "Errors", role: "detail" }),
        measure("events", counts(1200, 2), { label: "Events", role: "detail" }),
      ],
      { figures: [figure(0.6123, "of all events", "%")], threshold: 1, context: context(running) },
    ),
  },
  {
    info: info("traffic_by_country", { title: "Traffic by country", unit: "page views", chart: "stacked" }),
    frame: frame(
      [
        timeColumn(COUNTRIES.flatMap(() => minutes)),
        dimension(
          "country_code",
          COUNTRIES.flatMap(([code]) => minutes.map(() => code)),
          { label: "Country" },
        ),
        measure(
          "views",
          COUNTRIES.flatMap(([, scale], seed) => counts(scale, seed)),
          { label: "Page views", unit: "page views" },
        ),
      ],
      { context: context(running) },
    ),
  },
  {
    info: info("signup_funnel", { title: "Sign-ups", unit: "sign-ups", chart: "bar" }),
    frame: frame(
      [
        timeColumn([-5, -4, -3, -2, -1, 0].map((hour) => START + hour * HOUR)),
        measure("started", [812, 934, 1012, 1190, 1101, 420], { label: "Started" }),
        measure("completed", [330, 388, 402, 511, 449, 219], { label: "Completed" }),
        measure("conversion", [40.6, 41.5, 39.7, 42.9, 40.8, 52.1], {
          label: "Conversion",
          unit: "%",
          type: "float",
          additive: false,
        }),
      ],
      {
        figures: [figure(41.2, "completed of those started", "%")],
        context: context({
          start: START - 5 * HOUR,
          end: START + 20 * MINUTE,
          partialFrom: START,
          computedAt: START + 20 * MINUTE,
        }),
      },
    ),
  },
  {
    info: info("top_pages", { title: "Top pages", unit: "views", chart: "horizontal-bar", top: 8 }),
    frame: frame([
      dimension("page_url", PAGES, { label: "Page" }),
      measure(
        "views",
        PAGES.map((_, i) => Math.round(32_600 / (i + 1))),
        { label: "Views" },
      ),
      measure(
        "duration",
        PAGES.map((_, i) => 17_858.711828526066 - 900 * i),
        { label: "Mean duration", role: "detail", unit: "ms", type: "float" },
      ),
    ]),
  },
  {
    info: info("live_visitors", { title: "Live visitors", chart: "number", size: "small" }),
    frame: frame([], {
      figures: [figure(1204, "visitors"), figure(3391, "page views"), figure(48_200, "mean time on a page", "ms")],
      context: context({ span: "last 5 minutes" }),
    }),
  },
  {
    info: info("traffic_anomaly", { title: "Page views this hour", chart: "number", size: "small" }),
    frame: frame([], {
      figures: [
        {
          ...figure(48_120, "page views so far"),
          comparison: { label: "the same part of the hour last week", value: 51_020, changePct: -5.68 },
        },
      ],
      context: context({ span: "this hour" }),
    }),
  },
  {
    info: info("no_history", { title: "Without history", chart: "number", size: "small" }),
    frame: frame([], {
      figures: [{ ...figure(7, "page views so far"), comparison: { label: "last week", value: 3, changePct: null } }],
    }),
  },
  {
    info: info("bytes_served", { title: "Largest 64-bit integer", chart: "number", size: "small" }),
    frame: frame([measure("total", [18_446_744_073_709_551_615n], { label: "Total" })]),
  },
  {
    info: info("last_deploy", { title: "A long text", chart: "number", size: "small" }),
    frame: frame([dimension("deploy", [`release-2026-11-21-${"very-long-".repeat(12)}end`])]),
  },
  {
    info: info("change_by_plan", { title: "Change by plan", unit: "%", chart: "horizontal-bar" }),
    frame: frame([
      dimension("plan", ["pro", "team", "enterprise", "free"], { label: "Plan" }),
      measure("change", [12.1, 4.25, -3, -45.2], { label: "Change", unit: "%", type: "float", additive: false }),
    ]),
  },
  {
    info: info("balance", { title: "Balance per minute", chart: "bar" }),
    frame: frame([
      timeColumn(minutes.slice(0, 30)),
      measure(
        "balance",
        minutes.slice(0, 30).map((_, i) => Math.round(90 * Math.sin(i / 3))),
        { label: "Balance" },
      ),
    ]),
  },
  {
    info: info("daily", { title: "Views per day", chart: "line", size: "large" }),
    frame: frame(
      [
        timeColumn(
          [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13].map((day) => Date.UTC(2026, 9, 20) / (24 * HOUR) + day),
          { type: "date", label: "Day" },
        ),
        measure(
          "views",
          [120, 135, 110, 90, 80, 140, 150, 141, 133, 98, 77].map((views) => views * 1000),
          { label: "Views" },
        ),
      ],
      { context: context({ start: Date.UTC(2026, 9, 19, 22), end: Date.UTC(2026, 10, 2, 23), zone: "Europe/Madrid" }) },
    ),
  },
  {
    info: info("by_browser", { title: "Latency by browser", unit: "ms", chart: "bar", top: 8 }),
    frame: frame([
      dimension("browser", ["Chrome", "Safari", "Firefox", "Edge", "Samsung Internet for Android"], {
        label: "Browser",
      }),
      measure("p95", [412, 388.2, 501.5, 440, 812], { label: "p95", unit: "ms", type: "float", additive: false }),
    ]),
  },
  {
    info: info("ten_thousand", { title: "10,000 rows", chart: "table", size: "large" }),
    frame: frame([
      timeColumn(
        Array.from({ length: 10_000 }, (_, i) => START + i * 1000),
        { label: "Time", role: "time" },
      ),
      dimension(
        "page_url",
        Array.from({ length: 10_000 }, (_, i) => `${PAGES[i % PAGES.length]}?id=${i}`),
        { label: "Page" },
      ),
      measure(
        "user_id",
        Array.from({ length: 10_000 }, (_, i) => 9_007_199_254_740_993n + BigInt(i)),
        { label: "User", role: "detail" },
      ),
      measure(
        "duration",
        Array.from({ length: 10_000 }, (_, i) => 60_000 * noise(i)),
        { label: "Duration", unit: "ms", type: "float" },
      ),
      dimension(
        "note",
        Array.from({ length: 10_000 }, (_, i) => (i % 3 === 0 ? null : "ok")),
        { label: "Note" },
      ),
    ]),
  },
  {
    info: info("ten_thousand_bars", { title: "10,000 bars", chart: "horizontal-bar", top: 6 }),
    frame: frame([
      dimension(
        "page_url",
        Array.from({ length: 10_000 }, (_, i) => `/product/${i}`),
        { label: "Page" },
      ),
      measure(
        "visitors",
        Array.from({ length: 10_000 }, (_, i) => 10_000 - i),
        { label: "Visitors", additive: false },
      ),
    ]),
  },
  {
    info: info("empty", { title: "Nothing in the span", chart: "line" }),
    frame: frame([
      timeColumn(minutes),
      measure(
        "views",
        minutes.map(() => 0),
        { label: "Views" },
      ),
    ]),
  },
];
