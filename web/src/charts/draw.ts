// Draws a plot onto uPlot's canvas. uPlot brings scales, axes, cursor and synchronization; the marks are drawn here, because
// the running bucket, stacks and gaps need one treatment for all kinds.

import type uPlot from "uplot";
import type { ChartColors } from "./chartColors.ts";
import type { ComparedLine, Plot, PlotSeries } from "./plot.ts";

const LINE_WIDTH = 1.75;
const MAX_BAR_WIDTH = 48;
/** Of lines with the same colour, in CSS pixels. Longer than those of the earlier period. */
const DASHES = [[], [8, 5], [1, 5]];

interface Canvas {
  ctx: CanvasRenderingContext2D;
  /** Canvas pixels per CSS pixel. */
  ratio: number;
  x: (at: number) => number;
  y: (value: number, axis: 0 | 1) => number;
  box: uPlot.BBox;
  root: HTMLElement;
}

const canvasOf = (u: uPlot, ratio: number): Canvas => ({
  ctx: u.ctx,
  ratio,
  x: (at) => u.valToPos(at, "x", true),
  y: (value, axis) => u.valToPos(value, `y${axis}`, true),
  box: u.bbox,
  root: u.root,
});

function clipped({ ctx, box }: Canvas, draw: () => void): void {
  ctx.save();
  ctx.beginPath();
  // A few pixels more, so that a line at zero or at the maximum is not cut in half.
  ctx.rect(box.left, box.top - 4, box.width, box.height + 8);
  ctx.clip();
  draw();
  ctx.restore();
}

const patterns = new Map<string, CanvasPattern | null>();

/** Diagonal lines. */
function hatch(ctx: CanvasRenderingContext2D, color: string, ratio: number): CanvasPattern | string {
  const key = `${color} ${ratio}`;
  let pattern = patterns.get(key);
  if (pattern === undefined) {
    const size = Math.round(6 * ratio);
    const tile = document.createElement("canvas");
    tile.width = size;
    tile.height = size;
    const context = tile.getContext("2d");
    if (context) {
      context.strokeStyle = color;
      context.lineWidth = 1.5 * ratio;
      context.beginPath();
      for (const shift of [-size, 0, size]) {
        context.moveTo(shift, size);
        context.lineTo(shift + size, 0);
      }
      context.stroke();
    }
    pattern = ctx.createPattern(tile, "repeat");
    patterns.set(key, pattern);
  }
  return pattern ?? color;
}

/** The running bucket's span, behind everything else. */
export function drawBackground(u: uPlot, plot: Plot, colors: ChartColors, ratio: number): void {
  const canvas = canvasOf(u, ratio);
  const { ctx, box } = canvas;
  const { running } = plot;
  if (!running) return;
  clipped(canvas, () => {
    const left = canvas.x(running.start);
    const width = Math.max(2 * ratio, canvas.x(running.end) - left);
    ctx.globalAlpha = 0.22;
    ctx.fillStyle = hatch(ctx, colors("--line-strong"), ratio);
    ctx.fillRect(left, box.top, width, box.height);
  });
}

export function drawMarks(u: uPlot, plot: Plot, colors: ChartColors, ratio: number): void {
  const canvas = canvasOf(u, ratio);
  drawZero(canvas, plot, colors);
  clipped(canvas, () => {
    const areas = plot.series.filter(({ shape }) => shape === "area").length;
    const isStack = areas > 1 && plot.kind === "stacked";
    for (const series of plot.series) {
      if (series.shape === "bar") drawBars(canvas, plot, series, colors(series.color));
      if (series.shape === "area")
        drawArea(canvas, plot, series, colors(series.color), isStack ? "stack" : areas > 1 ? "many" : "one");
    }
    for (const line of plot.compared?.lines ?? []) drawCompared(canvas, plot, line, colors(line.color));
    for (const series of plot.series) {
      if (series.shape === "bar") continue;
      canvas.ctx.setLineDash((DASHES[series.dash % DASHES.length] ?? []).map((length) => length * ratio));
      drawLine(canvas, plot, series, colors(series.color), isStack ? 1 : LINE_WIDTH);
    }
    canvas.ctx.setLineDash([]);
    drawSoFar(canvas, plot, colors);
  });
  drawThreshold(canvas, plot, colors);
}

function drawZero({ ctx, box, y, ratio }: Canvas, { axes }: Plot, colors: ChartColors): void {
  if ((axes[0]?.scale.min ?? 0) >= 0) return;
  ctx.save();
  ctx.strokeStyle = colors("--line-strong");
  ctx.lineWidth = ratio;
  const zero = Math.round(y(0, 0));
  ctx.beginPath();
  ctx.moveTo(box.left, zero);
  ctx.lineTo(box.left + box.width, zero);
  ctx.stroke();
  ctx.restore();
}

/** Runs of neighbouring values. */
export function* runs(values: (number | null)[]): Generator<[from: number, to: number]> {
  let from = -1;
  for (let i = 0; i <= values.length; i += 1) {
    const present = i < values.length && values[i] !== null;
    if (present && from < 0) from = i;
    if (!present && from >= 0) {
      yield [from, i];
      from = -1;
    }
  }
}

function drawLine(
  { ctx, x, y, ratio }: Canvas,
  plot: Plot,
  { high, axis }: Pick<PlotSeries, "high" | "axis">,
  color: string,
  width: number,
): void {
  ctx.strokeStyle = color;
  ctx.fillStyle = color;
  ctx.lineWidth = width * ratio;
  ctx.lineJoin = "round";
  ctx.lineCap = "round";
  for (const [from, to] of runs(high)) {
    ctx.beginPath();
    if (to - from === 1) {
      // A value between gaps has no line.
      ctx.arc(x(plot.x[from] ?? 0), y(high[from] ?? 0, axis), 2.5 * ratio, 0, 2 * Math.PI);
      ctx.fill();
      continue;
    }
    for (let i = from; i < to; i += 1) ctx.lineTo(x(plot.x[i] ?? 0), y(high[i] ?? 0, axis));
    ctx.stroke();
  }
}

/** Thin, dashed and pale, below the lines of the range itself. */
function drawCompared(canvas: Canvas, plot: Plot, { values, axis }: ComparedLine, color: string): void {
  const { ctx, ratio } = canvas;
  ctx.save();
  ctx.globalAlpha = 0.8;
  ctx.setLineDash([4 * ratio, 3 * ratio]);
  drawLine(canvas, plot, { high: values, axis }, color, 1);
  ctx.restore();
}

/** Fills a path, or the current one, so that it differs from a plain one of the same colour. */
function fillDashed(ctx: CanvasRenderingContext2D, color: string, ratio: number, path?: Path2D): void {
  const fill = () => (path ? ctx.fill(path) : ctx.fill());
  ctx.save();
  ctx.globalAlpha *= 0.4;
  ctx.fillStyle = color;
  fill();
  ctx.restore();
  ctx.save();
  ctx.fillStyle = hatch(ctx, color, ratio);
  fill();
  ctx.restore();
}

function drawArea(
  canvas: Canvas,
  plot: Plot,
  { low, high, axis, dash }: PlotSeries,
  color: string,
  mode: "one" | "many" | "stack",
) {
  const { ctx, x, y, box, ratio } = canvas;
  ctx.save();
  if (mode === "one") {
    const gradient = ctx.createLinearGradient(0, box.top, 0, box.top + box.height);
    gradient.addColorStop(0, color);
    gradient.addColorStop(1, "transparent");
    ctx.fillStyle = gradient;
    ctx.globalAlpha = 0.28;
  } else {
    ctx.fillStyle = color;
    ctx.globalAlpha = mode === "stack" ? 0.6 : 0.14;
  }
  for (const [from, to] of runs(high)) {
    ctx.beginPath();
    for (let i = from; i < to; i += 1) ctx.lineTo(x(plot.x[i] ?? 0), y(high[i] ?? 0, axis));
    for (let i = to - 1; i >= from; i -= 1) ctx.lineTo(x(plot.x[i] ?? 0), y(low[i] ?? 0, axis));
    ctx.closePath();
    if (mode === "stack" && dash > 0) fillDashed(ctx, color, ratio);
    else ctx.fill();
  }
  ctx.restore();
}

/** Left edge and width of a bar, in the pixels of `x`. */
export function barBox(left: number, right: number, slot: number, slots: number, maxWidth: number): [number, number] {
  const bucket = Math.max(1, right - left);
  const group = Math.min(bucket * 0.78, maxWidth * slots);
  const gap = slots > 1 ? Math.min(2, group * 0.05) : 0;
  const width = Math.max(1, (group - gap * (slots - 1)) / slots);
  return [left + (bucket - group) / 2 + slot * (width + gap), width];
}

function bar(canvas: Canvas, plot: Plot, series: PlotSeries, index: number, low: number, high: number): Path2D {
  const { x, y, ratio } = canvas;
  const at = plot.times[index] ?? 0;
  const end = plot.ends[index] ?? at;
  const half = end > at ? 0 : 4 * ratio;
  const [left, width] = barBox(x(at) - half, x(end) + half, series.slot, series.slots, MAX_BAR_WIDTH * ratio);
  const path = new Path2D();
  const from = y(low, 0);
  const to = y(high, 0);
  const stacked = series.slots === 1 && plot.series.some((other) => other !== series && other.shape === "bar");
  const radius = !stacked ? Math.min(3 * ratio, width / 3, Math.abs(to - from)) : 0;
  const corners = to < from ? [radius, radius, 0, 0] : [0, 0, radius, radius];
  path.roundRect(left, Math.min(from, to), width, Math.abs(to - from), corners);
  return path;
}

function drawBars(canvas: Canvas, plot: Plot, series: PlotSeries, color: string): void {
  const { ctx, ratio } = canvas;
  ctx.fillStyle = color;
  for (let i = 0; i < series.high.length; i += 1) {
    const low = series.low[i] ?? null;
    const high = series.high[i] ?? null;
    if (low === null || high === null || low === high) continue;
    const path = bar(canvas, plot, series, i, low, high);
    if (series.dash > 0) fillDashed(ctx, color, ratio, path);
    else ctx.fill(path);
  }
  if (series.soFar && series.soFar.low !== series.soFar.high) {
    const path = bar(canvas, plot, series, plot.partialIndex, series.soFar.low, series.soFar.high);
    ctx.save();
    ctx.fillStyle = hatch(ctx, color, ratio);
    ctx.globalAlpha = 0.55;
    ctx.fill(path);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = color;
    ctx.lineWidth = 1.25 * ratio;
    ctx.stroke(path);
    ctx.restore();
  }
}

/** The series whose values so far are drawn as dots. Of a stack only its top, which is the total; of other lines each. */
export function seriesWithDot({ series }: Pick<Plot, "series">): PlotSeries[] {
  const stacked = series.some(({ low }) => low.some((value) => value !== null && value !== 0));
  const inStack = ({ axis, shape }: PlotSeries) => stacked && axis === 0 && shape === "area";
  const top = series.findLast(inStack);
  return series.filter((one) => one.soFar && one.shape !== "bar" && (!inStack(one) || one === top));
}

/** The values so far of lines and areas, as open dots. */
function drawSoFar({ ctx, x, y, ratio }: Canvas, plot: Plot, colors: ChartColors): void {
  for (const { soFar, axis, color } of seriesWithDot(plot)) {
    if (!soFar) continue;
    ctx.beginPath();
    ctx.arc(x(plot.x[plot.partialIndex] ?? 0), y(soFar.high, axis), 3.25 * ratio, 0, 2 * Math.PI);
    ctx.fillStyle = colors("--card");
    ctx.fill();
    ctx.strokeStyle = colors(color);
    ctx.lineWidth = 1.75 * ratio;
    ctx.stroke();
  }
}

function drawThreshold(canvas: Canvas, { threshold }: Plot, colors: ChartColors): void {
  if (!threshold) return;
  const { ctx, box, y, ratio, root } = canvas;
  const at = Math.round(y(threshold.value, 0));
  ctx.save();
  ctx.strokeStyle = colors("--warn");
  ctx.lineWidth = 1.25 * ratio;
  ctx.setLineDash([5 * ratio, 4 * ratio]);
  ctx.beginPath();
  ctx.moveTo(box.left, at);
  ctx.lineTo(box.left + box.width, at);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.font = `500 ${11 * ratio}px ${getComputedStyle(root).fontFamily}`;
  ctx.textAlign = "right";
  // Above the line, or below it at the top of the chart.
  const above = at - box.top > 18 * ratio;
  ctx.textBaseline = above ? "bottom" : "top";
  const position: [number, number] = [box.left + box.width - 4 * ratio, at + (above ? -3 : 4) * ratio];
  // The outline keeps the label readable over a line.
  ctx.lineWidth = 3 * ratio;
  ctx.strokeStyle = colors("--card");
  ctx.lineJoin = "round";
  ctx.strokeText(threshold.label, ...position);
  ctx.fillStyle = colors("--warn");
  ctx.fillText(threshold.label, ...position);
  ctx.restore();
}
