import type { PanelCardProps } from "../pages/dashboard/panelCard.ts";
import { Menu } from "../ui/Menu.tsx";
import { Skeleton } from "../ui/placeholders.tsx";

/** Stands in for the real card: the title, the lead figure, and a line. */
export function FakePanelCard({ info, state, drawn, onEnlarge, className }: PanelCardProps) {
  const figure = drawn?.frame.figures[0];
  const points = drawn?.frame.columns.find(({ role, values }) => role === "measure" && values.length > 1)?.values;
  const max = Math.max(1, ...(points ?? []).map(Number));
  return (
    <section aria-label={info.title} data-panel={info.name} data-status={state.status} className={`card ${className}`}>
      <header className="-mt-1 mb-1 flex items-center gap-2">
        <h2 className="min-w-0 flex-1 truncate font-medium text-muted">{info.title}</h2>
        {onEnlarge && (
          <Menu
            label={`${info.title}: more actions`}
            items={[{ label: "Enlarge", icon: "expand", onSelect: () => onEnlarge(info.name) }]}
          />
        )}
      </header>
      <div
        className={
          state.status === "stale" || drawn?.isPlaceholder
            ? "flex min-h-0 flex-1 flex-col opacity-60"
            : "flex min-h-0 flex-1 flex-col"
        }
      >
        {figure ? (
          <p className="flex items-baseline gap-2">
            <span className="text-2xl font-semibold tracking-tight" data-figure>
              {Number(figure.value).toLocaleString("en")}
            </span>
            <span className="truncate text-xs text-muted">{figure.label}</span>
          </p>
        ) : (
          <Skeleton className="h-8 w-32" />
        )}
        {points && (
          <svg
            viewBox="0 0 100 40"
            preserveAspectRatio="none"
            className="mt-3 min-h-0 w-full flex-1"
            aria-hidden="true"
          >
            <polyline
              fill="none"
              stroke="var(--c1)"
              strokeWidth="2"
              vectorEffect="non-scaling-stroke"
              points={points
                .map((y, x) => `${(x / (points.length - 1)) * 100},${39 - (Number(y) / max) * 37}`)
                .join(" ")}
            />
          </svg>
        )}
      </div>
    </section>
  );
}
