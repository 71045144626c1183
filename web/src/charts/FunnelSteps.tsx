// A funnel as a list of steps with bars: readable from 300 px on, and without its colours.

import { useMemo } from "react";
import type { FunnelDetail } from "../frame/detail.ts";
import { formatCount, formatPercent } from "../lib/format.ts";
import { type FunnelBar, type FunnelStepShape, toFunnelShape } from "./funnelShape.ts";
import { shortDuration } from "./histogramShape.ts";
import { PickButton } from "./pick.tsx";
import { percentText } from "./retentionShape.ts";
import { strings } from "./strings.ts";

const words = strings.funnel;

/** Stripes, so that what was lost differs from the empty track without its colour. */
export const STRIPES = "repeating-linear-gradient(135deg, var(--line-strong) 0 1px, transparent 1px 5px)";

function Track({ bar, thick }: { bar: FunnelBar; thick: boolean }) {
  return (
    <span
      aria-hidden="true"
      className={`flex w-full overflow-hidden rounded-sm bg-sunken in-data-dimmed:opacity-60 ${thick ? "h-5" : "h-2"}`}
    >
      <span
        className="block min-w-0.5 transition-[width] duration-150 motion-reduce:transition-none"
        style={{ width: `${bar.width}%`, background: `var(${bar.color})` }}
      />
      <span
        className="block transition-[width] duration-150 motion-reduce:transition-none"
        style={{ width: `${bar.lostWidth}%`, background: STRIPES }}
      />
    </span>
  );
}

/** What happened between the step before and this one. */
function Between({ step, bar }: { step: FunnelStepShape; bar: FunnelBar }) {
  const label = bar.value === undefined ? step.name : `${step.name} · ${bar.value}`;
  const dropped = (bar.running ? words.notYet : words.dropped)(bar.lost, percentText(bar.lostPct));
  return (
    <p data-between="" className="flex flex-wrap items-baseline gap-x-3 py-1.5 pl-7 text-xs text-muted">
      <span aria-hidden="true">↓</span>
      {bar.fromPreviousPct !== null && <span>{words.wentOn(formatPercent(bar.fromPreviousPct))}</span>}
      {bar.medianMs !== null && <span>{words.median(shortDuration(bar.medianMs))}</span>}
      {bar.lost > 0 && (
        <PickButton
          pick={{ kind: "funnel", step: step.number, dropped: true, breakdown: bar.value }}
          words={`${label}: ${dropped}`}
          label={words.droppedLabel(dropped, label)}
          className="text-ink"
        >
          {dropped}
        </PickButton>
      )}
    </p>
  );
}

function ValueRow({ step, bar }: { step: FunnelStepShape; bar: FunnelBar }) {
  const name = `${step.name} · ${bar.label}`;
  return (
    <li className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-3 gap-y-0.5 text-xs">
      <span className="flex min-w-0 items-center gap-1.5">
        <span aria-hidden="true" className="size-2 shrink-0 rounded-sm" style={{ background: `var(${bar.color})` }} />
        <span className="truncate" title={bar.label}>
          {bar.label}
        </span>
      </span>
      <span className="flex items-baseline gap-2 tabular-nums">
        <PickButton
          pick={{ kind: "funnel", step: step.number, dropped: false, breakdown: bar.value }}
          words={`${name}: ${formatCount(bar.count)}`}
          label={words.reachedLabel(name, bar.count)}
          className="text-muted"
        >
          {formatCount(bar.count)}
        </PickButton>
        <span className="w-12 text-right font-medium">{percentText(bar.fromFirstPct)}</span>
      </span>
      <span className="col-span-2">
        <Track bar={bar} thick={false} />
      </span>
    </li>
  );
}

function Step({ step }: { step: FunnelStepShape }) {
  const { number, name, overall, values } = step;
  return (
    <li>
      {number > 1 && <Between step={step} bar={overall} />}
      <div className="flex min-w-0 items-baseline gap-x-2">
        <span aria-hidden="true" className="w-5 shrink-0 text-right text-xs text-muted tabular-nums">
          {number}
        </span>
        <span className="min-w-0 flex-1 truncate font-medium" title={name}>
          {name}
        </span>
        <PickButton
          pick={{ kind: "funnel", step: number, dropped: false }}
          words={`${name}: ${formatCount(overall.count)}`}
          label={words.reachedLabel(name, overall.count)}
          className="shrink-0 text-muted tabular-nums"
        >
          {formatCount(overall.count)}
        </PickButton>
        <span
          className="w-14 shrink-0 text-right font-semibold tabular-nums"
          title={words.ofFirst(percentText(overall.fromFirstPct))}
        >
          {percentText(overall.fromFirstPct)}
        </span>
      </div>
      <div className="mt-1 pl-7">
        <Track bar={overall} thick />
        {values.length > 0 && (
          <ul className="mt-2 flex flex-col gap-1.5">
            {values.map((bar) => (
              <ValueRow key={bar.value} step={step} bar={bar} />
            ))}
          </ul>
        )}
      </div>
    </li>
  );
}

export default function FunnelSteps({ detail, title }: { detail: FunnelDetail; title: string }) {
  const { steps, notShown } = useMemo(() => toFunnelShape(detail), [detail]);
  const { overall, truncatedVisitors } = detail;
  const notes = [
    detail.breakdown.length > 0 ? words.scale : "",
    notShown > 0 ? words.notShown(notShown) : "",
    overall.running > 0 ? words.running(overall.running) : "",
    truncatedVisitors > 0 ? words.truncated(truncatedVisitors) : "",
  ].filter(Boolean);
  return (
    <section
      aria-label={words.name(title, steps.length)}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
      tabIndex={0}
      className="min-h-0 flex-1 overflow-y-auto pr-1 [scrollbar-width:thin]"
    >
      <ol className="flex flex-col text-sm">
        {steps.map((step) => (
          <Step key={step.number} step={step} />
        ))}
      </ol>
      {notes.length > 0 && <p className="mt-3 text-xs text-muted">{notes.join(" ")}</p>}
    </section>
  );
}
