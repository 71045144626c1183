import { expect, test } from "vitest";
import type { FrameContext } from "../frame/frame.ts";
import { toTimeSeries } from "../frame/timeSeries.ts";
import { context, dimension, frame, HOUR, MINUTE, measure, START, timeColumn } from "../test/frames.ts";
import { seriesWithDot } from "./draw.ts";
import { legendText } from "./legendText.ts";
import { stack, type TimeChartKind, toPlot } from "./plot.ts";
import { pointAt, pointText, pointWords } from "./point.ts";
import { tooltipPlace } from "./tooltipPlace.ts";

const minutes = (count: number) => Array.from({ length: count }, (_, i) => START + i * MINUTE);

function plot(
  columns: Parameters<typeof frame>[0],
  kind: TimeChartKind,
  overrides: Partial<FrameContext> = {},
  threshold: number | null = null,
) {
  const source = frame(columns, { context: context(overrides), threshold });
  const series = toTimeSeries(source, { top: 5 });
  if (!series) throw new Error("not a time series");
  return toPlot(source, series, kind, 200);
}

test("the time axis covers the span of the frame's context, not only the data", () => {
  const { start, end, x } = plot([timeColumn(minutes(2)), measure("views", [1, 2])], "line");
  expect([start, end]).toEqual([START, START + HOUR]);
  expect(x).toEqual([START + MINUTE / 2, START + 1.5 * MINUTE]);
});

test("lines end at the last complete bucket; the running count so far is apart", () => {
  const columns = [timeColumn(minutes(3)), measure("views", [5, 6, 1])];
  const { series, running } = plot(columns, "line", { partialFrom: START + 2 * MINUTE });
  expect(series[0]?.high).toEqual([5, 6, null]);
  expect(series[0]?.soFar).toEqual({ low: 0, high: 1 });
  expect(running).toEqual({ start: START + 2 * MINUTE, end: START + HOUR });
});

test("a running bucket ends with the span, so that all charts of a page have the same time axis", () => {
  const hours = [START - HOUR, START, START + HOUR];
  const columns = [timeColumn(hours), measure("views", [5, 6, 1])];
  const end = START + HOUR + 17 * MINUTE;
  const {
    ends,
    running,
    end: domainEnd,
  } = plot(columns, "bar", { start: START - HOUR, end, partialFrom: START + HOUR });
  expect([ends.at(-1), running?.end, domainEnd]).toEqual([end, end, end]);
});

test("a running ratio or mean is not drawn at all", () => {
  const columns = [timeColumn(minutes(3)), measure("rate", [5, 6, 1], { unit: "%", type: "float", additive: false })];
  expect(plot(columns, "line", { partialFrom: START + 2 * MINUTE }).series[0]?.soFar).toBeNull();
});

test("counts have whole ticks, and the threshold is on the scale", () => {
  expect(plot([timeColumn(minutes(2)), measure("views", [0, 1])], "line").axes[0]?.labels).toEqual(["0", "1"]);
  const rate = measure("rate", [0.1, 0.2], { unit: "%", type: "float", additive: false });
  const { axes, threshold } = plot([timeColumn(minutes(2)), rate], "line", {}, 1);
  expect(axes[0]?.scale.max).toBe(1);
  expect(threshold?.label).toBe("Threshold 1%");
});

test("a second unit has its own axis and is a line over bars", () => {
  const columns = [
    timeColumn(minutes(2)),
    measure("started", [10, 20]),
    measure("completed", [4, 9]),
    measure("conversion", [40, 45], { unit: "%", type: "float", additive: false }),
  ];
  const { series, axes } = plot(columns, "bar");
  expect(series.map(({ shape, axis, slot, slots }) => [shape, axis, slot, slots])).toEqual([
    ["bar", 0, 0, 2],
    ["bar", 0, 1, 2],
    ["line", 1, 0, 2],
  ]);
  expect(axes.map(({ labels }) => labels.at(-1))).toEqual(["20", "60%"]);
});

test("stacking keeps negative values below zero and gaps open", () => {
  expect(
    stack([
      [1, null, 2],
      [-1, null, 3],
      [2, null, null],
    ]),
  ).toEqual([
    { low: [0, null, 0], high: [1, null, 2] },
    { low: [0, null, 2], high: [-1, null, 5] },
    { low: [1, null, 5], high: [3, null, 5] },
  ]);
});

test("values that cannot be added up are not stacked", () => {
  const columns = [
    timeColumn(minutes(2)),
    measure("a", [1, 2], { additive: false }),
    measure("b", [3, 4], { additive: false }),
  ];
  expect(plot(columns, "stacked").series.map(({ shape, low }) => [shape, low])).toEqual([
    ["line", [0, 0]],
    ["line", [0, 0]],
  ]);
});

test("a point has its span, its series as drawn, shares and the total", () => {
  const stacked = plot(
    [
      timeColumn([START, START, START + MINUTE]),
      dimension("country", ["ES", "FR", "ES"]),
      measure("views", [30, 10, 5]),
    ],
    "stacked",
    { partialFrom: START + MINUTE },
  );
  const point = pointText(stacked, 0, context());
  expect(point.title).toBe("10:00–10:01");
  expect(point.lines.map(({ label, value, share }) => [label, value, share])).toEqual([
    ["France", "10", "25.0%"],
    ["Spain", "30", "75.0%"],
  ]);
  expect(point.total).toBe("40");
  expect(pointWords(pointText(stacked, 1, context()))).toBe(
    "10:01–10:02, so far, as of 10:59:40: France no data, Spain 5 (100.0%), total 5",
  );
});

const comparedPlot = (columns: Parameters<typeof frame>[0], earlier: typeof columns, kind: TimeChartKind) => {
  const comparison = frame(earlier, { context: context({ start: START - HOUR, end: START }) });
  const source = frame(columns, { context: context({ partialFrom: START + 2 * MINUTE }), comparison });
  const data = toTimeSeries(source, { top: 5 });
  if (!data) throw new Error("not a time series");
  return { plot: toPlot(source, data, kind, 200), data };
};
const before = (count: number) => minutes(count).map((at) => at - HOUR);

test("the earlier period is a line per series on the same scale, up to the running bucket", () => {
  const { plot: drawn, data } = comparedPlot(
    [timeColumn(minutes(3)), measure("views", [5, 6, 1])],
    [timeColumn(before(3)), measure("views", [50, 60, 70])],
    "bar",
  );
  expect(drawn.compared?.lines).toMatchObject([{ key: "views", color: "--c1", axis: 0, values: [50, 60, null] }]);
  expect(drawn.axes[0]?.scale.max).toBe(60);
  expect(legendText(drawn, data.others, data.interval).notes).toContain("dashed: 09:00–10:00");
  const point = pointText(drawn, 1, context());
  expect(point.comparedTitle).toBe("09:01–09:02");
  expect(pointWords(point)).toBe("10:01–10:02: views 6; 09:01–09:02: views 60");
  // The earlier value of a running bucket is that of a part as well.
  expect(pointText(drawn, 2, context())).toMatchObject({ comparedTitle: "", lines: [{ compared: "" }] });
});

test("a stack is compared by its total only", () => {
  const columns = (times: number[], values: number[]) => [
    timeColumn(times.flatMap((at) => [at, at])),
    dimension("country_code", ["ES", "FR", "ES", "FR"]),
    measure("views", values),
  ];
  const { plot: drawn, data } = comparedPlot(
    columns(minutes(2), [1, 2, 3, 4]),
    columns(before(2), [10, 20, 30, 40]),
    "stacked",
  );
  expect(drawn.compared?.lines).toMatchObject([{ key: "total", values: [30, 70] }]);
  expect(drawn.axes[0]?.scale.max).toBeGreaterThanOrEqual(70);
  expect(legendText(drawn, data.others, data.interval).notes).toContain("dashed: total 09:00–10:00");
  expect(pointWords(pointText(drawn, 0, context()))).toMatch(/total 3; 09:00–09:01: total 30$/);
});

test("without a comparison nothing is said about one", () => {
  const plain = plot([timeColumn(minutes(2)), measure("views", [1, 2])], "line");
  expect(plain.compared).toBeNull();
  expect(pointText(plain, 0, context())).toMatchObject({ comparedTitle: "", comparedTotal: "" });
});

test("the cursor has no values outside of the buckets", () => {
  const short = plot([timeColumn(minutes(3)), measure("views", [1, 2, 3])], "line");
  expect(pointAt(short, 2, START + 2.9 * MINUTE)).toBe(2);
  expect(pointAt(short, 2, START + 30 * MINUTE)).toBeNull();
  expect(pointAt(short, null, START)).toBeNull();
});

test("the tooltip is beside the point and never over it", () => {
  const chart = { width: 330, height: 180 };
  const covers = (x: number, y: number, tip: { width: number; height: number }) => {
    const { left, top } = tooltipPlace({ x, y }, tip, chart);
    return x >= left && x <= left + tip.width && y >= top && y <= top + tip.height;
  };
  for (let x = 0; x <= 330; x += 10) {
    for (const width of [100, 200, 300]) expect(covers(x, 90, { width, height: 120 })).toBe(false);
  }
});

test("digits beyond 2^53 are not invented", () => {
  const columns = [timeColumn(minutes(2)), measure("ids", [9_007_199_254_740_993n, 18_446_744_073_709_551_615n])];
  const large = plot(columns, "line");
  expect(pointText(large, 0, context()).lines[0]?.value).toBe("9.01\u00a0×\u00a010¹⁵");
  expect(legendText(large, { count: 0, drawn: true }, null).entries[0]?.value).toBe("1.85\u00a0×\u00a010¹⁹");
});

test("the values so far are dots: of a stack its top, and those of the right axis always", () => {
  const columns = (mean: (number | null)[]) => [
    timeColumn(minutes(2)),
    measure("a", [1, 2]),
    measure("b", [3, 4]),
    measure("bytes", mean, { unit: "bytes" }),
  ];
  const dots = (source: ReturnType<typeof columns>) =>
    seriesWithDot(plot(source, "stacked", { partialFrom: START + MINUTE })).map(({ key }) => key);
  expect(dots(columns([5, 6]))).toEqual(["b", "bytes"]);
  expect(dots(columns([5, null]))).toEqual(["b"]);
});

test("50,000 values are laid out without spreading them as arguments", () => {
  const count = 50_000;
  const { axes } = plot(
    [
      timeColumn(minutes(count)),
      measure(
        "views",
        minutes(count).map((_, i) => i),
      ),
    ],
    "area",
  );
  expect(axes[0]?.scale.max).toBe(60_000);
});
