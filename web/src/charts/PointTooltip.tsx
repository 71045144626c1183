import { useLayoutEffect, useRef, useState } from "react";
import type { PointText } from "./point.ts";
import { swatch } from "./swatch.ts";
import { tooltipPlace } from "./tooltipPlace.ts";

interface Props {
  point: PointText;
  /** What happened then. */
  notes?: string[];
  /** The point and the size of the chart, in CSS pixels. */
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The values of a point of time. Screen readers have the same text as a status. */
export function PointTooltip({ point, notes = [], x, y, width, height }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState({ left: 0, top: 0 });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another text has another size
  useLayoutEffect(() => {
    const tip = box.current?.getBoundingClientRect();
    if (tip) setPlace(tooltipPlace({ x, y }, tip, { width, height }));
  }, [x, y, width, height, point.title, point.lines.length, notes.length]);
  const hasCompared = point.comparedTotal !== "" || point.lines.some(({ compared }) => compared !== "");
  return (
    <div
      ref={box}
      aria-hidden="true"
      data-tooltip=""
      className="pointer-events-none absolute z-20 w-max max-w-[min(20rem,90vw)] rounded-lg border border-line-strong bg-raised px-3 py-2 text-xs text-ink shadow-xl"
      style={place}
    >
      <p className="mb-1 text-muted">
        {point.title}
        {hasCompared && <span className="block">compared with {point.comparedTitle}</span>}
      </p>
      {point.lines.map(({ key, label, color, dash, value, share, compared }) => (
        <p key={key} className="flex items-center gap-2 leading-5 whitespace-nowrap">
          <span
            className={`size-2 shrink-0 rounded-full ${color ? "" : "opacity-0"}`}
            style={color ? swatch(color, dash) : undefined}
          />
          <span className="min-w-0 truncate text-muted">{label}</span>
          <span className="ml-auto pl-4 font-semibold tabular-nums">{value}</span>
          {share && <span className="w-12 text-right text-muted tabular-nums">{share}</span>}
          {compared && <Compared text={compared} />}
        </p>
      ))}
      {point.total && (
        <p className="mt-1 flex border-t border-line pt-1 leading-5">
          <span className="pl-4 text-muted">Total</span>
          <span className="ml-auto pl-4 font-semibold tabular-nums">{point.total}</span>
          {point.comparedTotal && <Compared text={point.comparedTotal} />}
        </p>
      )}
      {notes.map((note) => (
        <p key={note} className="mt-1 flex gap-2" data-annotation="">
          <span className="text-muted">▼</span>
          <span className="min-w-0 break-words">{note}</span>
        </p>
      ))}
      {point.soFar && <p className="mt-1 text-warn">{point.soFar}</p>}
    </div>
  );
}

const Compared = ({ text }: { text: string }) => (
  <span className="pl-2 text-right text-muted tabular-nums">{`(${text})`}</span>
);
