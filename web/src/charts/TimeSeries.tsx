// A chart over time on a canvas. Loaded lazily: it brings uPlot.

import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import type { Frame } from "../frame/frame.ts";
import { toTimeSeries } from "../frame/timeSeries.ts";
import { timeSeriesSummary } from "../frame/words.ts";
import { niceTimeTicks } from "../lib/timeTicks.ts";
import { readColors, useThemeVersion } from "./chartColors.ts";
import { drawBackground, drawMarks } from "./draw.ts";
import { Legend } from "./Legend.tsx";
import { PointTooltip } from "./PointTooltip.tsx";
import { type Plot, type TimeChartKind, toPlot } from "./plot.ts";
import { pointAt, pointText, pointWords } from "./point.ts";
import "./timeSeries.css";

interface Props {
  frame: Frame;
  kind: TimeChartKind;
  title: string;
  /** How many values of a dimension are drawn. */
  top: number;
}

/** One cursor for all charts of the page. */
const CURSOR_GROUP = "millrace";
const AXIS_FONT_SIZE = 11;

/** What is read while drawing. A change of anything else rebuilds the chart. */
interface Drawn {
  plot: Plot;
  zone: string;
  colors: ReturnType<typeof readColors>;
}

function chartData({ x, series, partialIndex }: Plot): uPlot.AlignedData {
  const values = series.map(({ high, soFar }) => {
    if (!soFar) return high;
    const withRunning = [...high];
    withRunning[partialIndex] = soFar.high;
    return withRunning;
  });
  return [x, ...values];
}

function chartOptions(drawn: { current: Drawn }, width: number, height: number, fontFamily: string): uPlot.Options {
  const color = (variable: string) => () => drawn.current.colors(variable);
  const font = `${AXIS_FONT_SIZE}px ${fontFamily}`;
  const axis = { stroke: color("--muted"), font, gap: 6 };
  const { plot } = drawn.current;
  const valueAxis = (index: 0 | 1): uPlot.Axis => ({
    ...axis,
    scale: `y${index}`,
    side: index === 0 ? 3 : 1,
    grid: { show: index === 0, stroke: color("--grid"), width: 1 },
    ticks: { show: false },
    splits: () => drawn.current.plot.axes[index]?.scale.ticks ?? [],
    values: () => drawn.current.plot.axes[index]?.labels ?? [],
    size: (u, labels) => {
      u.ctx.font = `${AXIS_FONT_SIZE * uPlot.pxRatio}px ${fontFamily}`;
      const widest = (labels ?? []).reduce((max, label) => Math.max(max, u.ctx.measureText(label).width), 0);
      return Math.ceil(widest / uPlot.pxRatio) + 10;
    },
  });
  const valueScale = (index: 0 | 1): uPlot.Scale => ({
    range: () => {
      const scale = drawn.current.plot.axes[index]?.scale;
      return [scale?.min ?? 0, scale?.max ?? 1];
    },
  });
  const axes = plot.axes.length > 1 ? ([0, 1] as const) : ([0] as const);
  return {
    width,
    height,
    ms: 1,
    pxAlign: 1,
    // Half of a label at the end of the axis.
    padding: [10, axes.length > 1 ? 0 : 24, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      // The line is at the point that the tooltip tells about.
      move: (u, left, top) => {
        const { plot } = drawn.current;
        const at = u.posToVal(left, "x");
        // The cursor of another chart may be outside of this one's span.
        if (left < 0 || at < plot.start || at > plot.end) return [-10, -10];
        const index = pointAt(plot, u.posToIdx(left), at);
        return index === null ? [left, top] : [u.valToPos(plot.x[index] ?? at, "x"), top];
      },
      dataIdx: (_u, _series, nearest, at) => pointAt(drawn.current.plot, nearest, at) as number,
      drag: { x: false, y: false },
      points: {
        size: (_, index) => (drawn.current.plot.series[index - 1]?.shape === "bar" ? 0 : 9),
        fill: (_, index) => drawn.current.colors(drawn.current.plot.series[index - 1]?.color ?? "--c1"),
      },
      sync: { key: CURSOR_GROUP, scales: ["x", null] },
    },
    scales: {
      x: { time: false, range: () => [drawn.current.plot.start, drawn.current.plot.end] },
      ...Object.fromEntries(axes.map((index) => [`y${index}`, valueScale(index)])),
    },
    axes: [
      {
        ...axis,
        size: 24,
        grid: { show: false },
        ticks: { stroke: color("--line-strong"), size: 4, width: 1 },
        border: { show: true, stroke: color("--grid"), width: 1 },
        splits: (u) => timeTicks(u, drawn.current).map(({ at }) => at),
        values: (u) => timeTicks(u, drawn.current).map(({ label }) => label),
      },
      ...axes.map(valueAxis),
    ],
    // The marks are drawn by the hooks.
    series: [
      {},
      ...plot.series.map(({ axis }) => ({
        scale: `y${axis}`,
        paths: () => null,
        points: { show: false },
        stroke: "#000",
      })),
    ],
    hooks: {
      drawClear: [(u) => drawBackground(u, drawn.current.plot, drawn.current.colors, uPlot.pxRatio)],
      draw: [(u) => drawMarks(u, drawn.current.plot, drawn.current.colors, uPlot.pxRatio)],
    },
  };
}

const timeTicks = (u: uPlot, { plot, zone }: Drawn) =>
  niceTimeTicks(plot.start, plot.end, zone, u.bbox.width > 0 ? u.bbox.width / uPlot.pxRatio : u.width);

/** Size of the element's content box, in whole pixels. */
function useSize(element: HTMLElement | null): { width: number; height: number } {
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    if (!element) return;
    const measure = () => {
      const { width, height } = element.getBoundingClientRect();
      const next = { width: Math.floor(width), height: Math.floor(height) };
      setSize((before) => (before.width === next.width && before.height === next.height ? before : next));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return size;
}

export default function TimeSeries({ frame, kind, title, top }: Props) {
  const [container, setContainer] = useState<HTMLDivElement | null>(null);
  const { width, height } = useSize(container);
  const theme = useThemeVersion();
  const data = useMemo(() => toTimeSeries(frame, { top }), [frame, top]);
  const plot = useMemo(() => (data ? toPlot(frame, data, kind, height) : null), [frame, data, kind, height]);
  const summary = useMemo(() => (data ? timeSeriesSummary(title, frame, data) : title), [title, frame, data]);
  // Reading a colour recalculates styles: once for a theme, not for each result.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a change of the theme changes the colours
  const colors = useMemo(() => container && readColors(container), [container, theme]);
  const chart = useRef<uPlot>(undefined);
  const drawn = useRef<Drawn>(undefined);
  const pointing = useRef(false);
  const [cursor, setCursor] = useState<{ index: number; x: number; y: number } | null>(null);
  /** The point that a key has selected, as it was then: a running bucket changes every second, a pointer moves all the time. */
  const [spoken, setSpoken] = useState("");

  // What uPlot cannot change after its creation.
  const structure = plot ? `${plot.axes.length} ${plot.series.map(({ axis }) => axis).join("")}` : "";
  const ready = plot !== null && width > 0 && height > 0;

  // biome-ignore lint/correctness/useExhaustiveDependencies: data, size and theme are passed on by the effect below
  useEffect(() => {
    if (!container || !colors || !ready || !plot) return;
    const current: { current: Drawn } = { current: { plot, zone: frame.context.zone, colors } };
    drawn.current = current.current;
    // The options read the ref of the component, so that new data needs no new chart.
    const options = chartOptions(drawn as { current: Drawn }, width, height, getComputedStyle(container).fontFamily);
    options.hooks = {
      ...options.hooks,
      setCursor: [
        (u) => {
          const nearest = u.cursor.idx;
          const at = drawn.current?.plot.x[nearest ?? -1];
          const left = u.cursor.left ?? -1;
          if (!pointing.current || !drawn.current || at === undefined || left < 0) return setCursor(null);
          const index = pointAt(drawn.current.plot, nearest, u.posToVal(left, "x"));
          if (index === null) return setCursor(null);
          const x = u.valToPos(at, "x") + u.over.offsetLeft;
          const y = (u.cursor.top ?? 0) + u.over.offsetTop;
          setCursor((before) => (before?.index === index ? before : { index, x, y }));
        },
      ],
    };
    const created = new uPlot(options, chartData(plot), container);
    chart.current = created;
    return () => {
      created.destroy();
      chart.current = undefined;
    };
  }, [container, ready, structure]);

  useEffect(() => {
    const u = chart.current;
    if (!u || !plot || !colors) return;
    drawn.current = { plot, zone: frame.context.zone, colors };
    u.batch(() => {
      if (u.width !== width || u.height !== height) u.setSize({ width, height });
      u.setData(chartData(plot));
    });
  }, [plot, frame, width, height, colors]);

  if (!data || !plot) return null;

  const moveTo = (index: number | null) => {
    const u = chart.current;
    const at = plot.x[index ?? -1];
    pointing.current = at !== undefined;
    const place = at === undefined ? { left: -10, top: -10 } : { left: u?.valToPos(at, "x"), top: 40 };
    // The third argument, which the types lack, moves the cursors of the other charts too.
    (u?.setCursor as ((opts: object, fireHook: boolean, publish: boolean) => void) | undefined)?.(place, true, true);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const last = plot.x.length - 1;
    const from = cursor?.index ?? null;
    const targets: Record<string, number | null> = {
      ArrowLeft: from === null ? last : Math.max(0, from - 1),
      ArrowRight: from === null ? 0 : Math.min(last, from + 1),
      Home: 0,
      End: last,
    };
    const target = event.key in targets ? (targets[event.key] ?? null) : null;
    if (target === null && !(event.key === "Escape" && cursor)) return;
    moveTo(target);
    setSpoken(target === null ? "" : pointWords(pointText(plot, target, frame.context)));
    event.preventDefault();
    event.stopPropagation();
  };
  const point = cursor && cursor.index < plot.x.length ? pointText(plot, cursor.index, frame.context) : null;

  return (
    <div className="flex min-h-0 w-full flex-1 flex-col gap-2">
      {/* The span cuts the first bucket, so two buckets do not tell their width. */}
      <Legend plot={plot} others={data.others} interval={data.times.length < 3 ? null : data.interval} />
      <div className="relative min-h-28 w-full flex-1">
        {/* biome-ignore-start lint/a11y/noNoninteractiveTabindex: the arrow keys move from point to point */}
        {/* biome-ignore-start lint/a11y/noNoninteractiveElementInteractions: as above */}
        <div
          ref={setContainer}
          role="img"
          aria-label={`${summary} Arrow keys read single points.`}
          tabIndex={0}
          // Texts stay readable while the figures are old: only the marks fade.
          className="absolute inset-0 rounded-md in-data-dimmed:opacity-60"
          onPointerEnter={() => {
            pointing.current = true;
          }}
          onPointerLeave={() => {
            pointing.current = false;
            setCursor(null);
          }}
          onBlur={() => {
            moveTo(null);
            setSpoken("");
          }}
          onKeyDown={onKeyDown}
        />
        {/* biome-ignore-end lint/a11y/noNoninteractiveElementInteractions: as above */}
        {/* biome-ignore-end lint/a11y/noNoninteractiveTabindex: as above */}
        {point && cursor && <PointTooltip point={point} x={cursor.x} y={cursor.y} width={width} height={height} />}
      </div>
      <p role="status" className="sr-only">
        {spoken}
      </p>
    </div>
  );
}
