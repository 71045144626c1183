import type { Series } from "../points.ts";

/** Names the colours, with a figure each where there is one. */
export function Legend({ series }: { series: (Series & { figure?: string })[] }) {
  return (
    <ul data-legend="" className="mb-2 flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
      {series.map(({ key, label, color, figure }) => (
        <li key={key} className="flex items-center gap-1.5">
          <span className="size-2.5 rounded-full" style={{ background: color }} aria-hidden="true" />
          {label} {figure && <span className="font-semibold text-ink tabular-nums">{figure}</span>}
        </li>
      ))}
    </ul>
  );
}
