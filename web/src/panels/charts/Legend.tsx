import type { Series } from "../points.ts";

export function Legend({ series }: { series: (Series & { value?: string })[] }) {
  return (
    <ul data-legend="" className="mb-2 flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
      {series.map(({ key, label, color, value }) => (
        <li key={key} className="flex items-center gap-1.5">
          <span className="size-2.5 rounded-full" style={{ background: color }} aria-hidden="true" />
          {label} {value && <span className="font-semibold text-ink tabular-nums">{value}</span>}
        </li>
      ))}
    </ul>
  );
}
