// A chart over time on a canvas. Loaded lazily: it brings uPlot.

import { type KeyboardEvent, use, useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import type { Frame } from "../frame/frame.ts";
import { timeSeriesSummary } from "../frame/summaries.ts";
import { toTimeSeries } from "../frame/timeSeries.ts";
import { restWords } from "../frame/words.ts";
import { niceTimeTicks } from "../lib/timeTicks.ts";
import { drawAnnotations } from "./annotationMarks.ts";
import { type Annotation, annotationsOf, annotationsWithin, annotationWords, useAnnotations } from "./annotations.ts";
import { readColors, useThemeVersion } from "./chartColors.ts";
import { drawBackground, drawMarks } from "./draw.ts";
import { drawnFrame } from "./drawnFrame.ts";
import { HighlightContext, HoverContext, withHighlight } from "./highlight.ts";
import { Legend } from "./Legend.tsx";
import { PointTooltip } from "./PointTooltip.tsx";
import { usePick } from "./pick.tsx";
import { type Plot, type TimeChartKind, toPlot } from "./plot.ts";
import { pointAt, pointText, pointWords } from "./point.ts";
import { inKnownOrder, rememberOrder } from "./seriesOrder.ts";
import { nearestSeries, seriesPick } from "./seriesPick.ts";
import { MIN_DRAG, useZoom, zoomSpan } from "./zoom.tsx";
import "./timeSeries.css";

interface Props {
  frame: Frame;
  /** Identifies the query: its series keep their order. */
  frameKey: string;
  kind: TimeChartKind;
  title: string;
  /** How many values of a dimension are drawn. */
  top: number;
}

/** One cursor for all charts of the page. */
const CURSOR_GROUP = "millrace";
/** In pixels, at the usual size of text. */
const AXIS_FONT_SIZE = 11;
/** How much larger the text of the page is: on a wall display, or by the browser's setting. */
const textScale = (): number => (Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 16) / 16;

/** What is read while drawing. A change of anything else rebuilds the chart. */
interface Drawn {
  plot: Plot;
  zone: string;
  colors: ReturnType<typeof readColors>;
  annotations: readonly Annotation[];
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

function chartOptions(
  drawn: { current: Drawn },
  width: number,
  height: number,
  fontFamily: string,
  zoomable: boolean,
): uPlot.Options {
  const color = (variable: string) => () => drawn.current.colors(variable);
  const scale = textScale();
  const fontSize = Math.round(AXIS_FONT_SIZE * scale);
  const font = `${fontSize}px ${fontFamily}`;
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
      u.ctx.font = `${fontSize * uPlot.pxRatio}px ${fontFamily}`;
      const widest = (labels ?? []).reduce((max, label) => Math.max(max, u.ctx.measureText(label).width), 0);
      return Math.ceil(widest / uPlot.pxRatio) + 10;
    },
  });
  const valueScale = (index: 0 | 1): uPlot.Scale => ({
    range: () => {
      const shown = drawn.current.plot.axes[index]?.scale;
      return [shown?.min ?? 0, shown?.max ?? 1];
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
      // The selection becomes the range of the page, not a scale of its own.
      drag: { x: zoomable, y: false, setScale: false },
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
        size: Math.round(24 * scale),
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
      draw: [
        (u) => drawMarks(u, drawn.current.plot, drawn.current.colors, uPlot.pxRatio),
        (u) => drawAnnotations(u, drawn.current.annotations, drawn.current.colors, uPlot.pxRatio),
      ],
    },
  };
}

const timeTicks = (u: uPlot, { plot, zone }: Drawn) =>
  niceTimeTicks(plot.start, plot.end, zone, (u.bbox.width > 0 ? u.bbox.width / uPlot.pxRatio : u.width) / textScale());

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

export default function TimeSeries({ frame: result, frameKey, kind, title, top }: Props) {
  const frame = useMemo(() => drawnFrame(kind, result), [kind, result]);
  const [container, setContainer] = useState<HTMLDivElement | null>(null);
  const { width, height } = useSize(container);
  const theme = useThemeVersion();
  const data = useMemo(() => {
    const found = toTimeSeries(frame, { top });
    return found && { ...found, series: inKnownOrder(frameKey, found.series) };
  }, [frame, frameKey, top]);
  useEffect(() => {
    if (data) rememberOrder(frameKey, data.series);
  }, [frameKey, data]);
  const whole = useMemo(() => (data ? toPlot(frame, data, kind, height) : null), [frame, data, kind, height]);
  const highlight = use(HighlightContext);
  const onHover = use(HoverContext);
  const hover = useRef(onHover);
  hover.current = onHover;
  const plot = useMemo(() => withHighlight(whole, highlight), [whole, highlight]);
  const summary = useMemo(() => (data ? timeSeriesSummary(title, frame, data) : title), [title, frame, data]);
  // Reading a colour recalculates styles: once for a theme, not for each result.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a change of the theme changes the colours
  const colors = useMemo(() => container && readColors(container), [container, theme]);
  const { list } = useAnnotations();
  const annotations = useMemo(() => (plot ? annotationsWithin(list, plot) : []), [list, plot]);
  const onPick = usePick();
  const onZoom = useZoom();
  const zoomable = onZoom !== undefined;
  const zoom = useRef(onZoom);
  useEffect(() => {
    zoom.current = onZoom;
  });
  /** The click that ends a drag chooses no point. */
  const dragged = useRef(false);
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
    const current: { current: Drawn } = { current: { plot, zone: frame.context.zone, colors, annotations } };
    drawn.current = current.current;
    // The options read the ref of the component, so that new data needs no new chart.
    const options = chartOptions(
      drawn as { current: Drawn },
      width,
      height,
      getComputedStyle(container).fontFamily,
      zoomable,
    );
    options.hooks = {
      ...options.hooks,
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width === 0) return;
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          // The other charts have the same selection.
          if (!pointing.current || !drawn.current || width < MIN_DRAG) return;
          dragged.current = true;
          const span = zoomSpan(drawn.current.plot, u.posToVal(left, "x"), u.posToVal(left + width, "x"));
          if (span) zoom.current?.(...span);
        },
      ],
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
          const height = (value: number, { axis }: { axis: 0 | 1 }) => u.valToPos(value, `y${axis}`);
          hover.current?.(nearestSeries(drawn.current.plot.series, index, u.cursor.top ?? 0, height)?.key);
        },
      ],
    };
    const created = new uPlot(options, chartData(plot), container);
    chart.current = created;
    return () => {
      created.destroy();
      chart.current = undefined;
    };
  }, [container, ready, structure, zoomable]);

  useEffect(() => {
    const u = chart.current;
    if (!u || !plot || !colors) return;
    drawn.current = { plot, zone: frame.context.zone, colors, annotations };
    u.batch(() => {
      if (u.width !== width || u.height !== height) u.setSize({ width, height });
      u.setData(chartData(plot));
    });
  }, [plot, frame, width, height, colors, annotations]);

  if (!data || !plot) return null;

  const { zone, computedAt } = frame.context;
  const notesOf = (index: number) =>
    annotationsOf(annotations, plot, index).map((each) => annotationWords(each, zone, computedAt));
  const moveTo = (index: number | null) => {
    const u = chart.current;
    const at = plot.x[index ?? -1];
    pointing.current = at !== undefined;
    const place = at === undefined ? { left: -10, top: -10 } : { left: u?.valToPos(at, "x"), top: 40 };
    // The third argument, which the types lack, moves the cursors of the other charts too.
    (u?.setCursor as ((opts: object, fireHook: boolean, publish: boolean) => void) | undefined)?.(place, true, true);
  };
  /** Shows the people behind the point of the series that is nearest to a height, or of the first one. */
  const choose = (index: number, top?: number) => {
    const u = chart.current;
    if (!onPick || !u) return false;
    const running = index === plot.partialIndex;
    const marks = running
      ? plot.series.map((one) => ({ ...one, high: [...one.high.slice(0, index), one.soFar?.high ?? null] }))
      : plot.series;
    const series =
      top === undefined
        ? marks[0]
        : nearestSeries(marks, index, top, (value, { axis }) => u.valToPos(value, `y${axis}`));
    const at = data.times[index];
    const pick = series && at !== undefined ? seriesPick(frame, series.key, at) : undefined;
    if (!series || !pick) return false;
    onPick(pick, `${series.label} · ${pointText(plot, index, frame.context).title}`);
    return true;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && cursor && choose(cursor.index)) {
      event.preventDefault();
      return;
    }
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
    setSpoken(
      target === null ? "" : [pointWords(pointText(plot, target, frame.context)), ...notesOf(target)].join(". "),
    );
    event.preventDefault();
    event.stopPropagation();
  };
  const point = cursor && cursor.index < plot.x.length ? pointText(plot, cursor.index, frame.context) : null;

  return (
    <div className="flex min-h-0 w-full flex-1 flex-col gap-2">
      {/* The span cuts the first bucket, so two buckets do not tell their width. */}
      <Legend
        rest={restWords(frame)}
        plot={plot}
        others={data.others}
        interval={data.times.length < 3 ? null : data.interval}
      />
      <div className="relative min-h-28 w-full flex-1">
        {/* biome-ignore-start lint/a11y/noNoninteractiveTabindex: the arrow keys move from point to point */}
        {/* biome-ignore-start lint/a11y/noNoninteractiveElementInteractions: as above */}
        <div
          ref={setContainer}
          role="img"
          aria-label={`${summary} Arrow keys read single points.${onPick && frame.detail ? " Enter shows the people behind a point." : ""}`}
          tabIndex={0}
          // Texts stay readable while the figures are old: only the marks fade.
          className={`absolute inset-0 rounded-md in-data-dimmed:opacity-60 ${onPick && frame.detail ? "cursor-pointer" : ""}`}
          onPointerEnter={() => {
            pointing.current = true;
          }}
          onPointerLeave={() => {
            pointing.current = false;
            setCursor(null);
            onHover?.(undefined);
          }}
          onClick={() => {
            if (cursor && !dragged.current) choose(cursor.index, chart.current?.cursor.top);
            dragged.current = false;
          }}
          onBlur={() => {
            moveTo(null);
            setSpoken("");
          }}
          onKeyDown={onKeyDown}
        />
        {/* biome-ignore-end lint/a11y/noNoninteractiveElementInteractions: as above */}
        {/* biome-ignore-end lint/a11y/noNoninteractiveTabindex: as above */}
        {point && cursor && (
          <PointTooltip
            point={point}
            notes={notesOf(cursor.index)}
            x={cursor.x}
            y={cursor.y}
            width={width}
            height={height}
          />
        )}
      </div>
      <p role="status" className="sr-only">
        {spoken}
      </p>
      {annotations.length > 0 && (
        <ul aria-label="Annotations" className="sr-only">
          {annotations.map((each) => (
            <li key={each.name}>
              {annotationWords(each, zone, computedAt)}
              {each.description && `. ${each.description}`}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
