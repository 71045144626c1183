import { type SparkPoint, sparkPaths } from "./keyFigure.ts";

const WIDTH = 200;
const HEIGHT = 28;

/** The course of a figure, without axes: its shape only. */
export function Sparkline({ points }: { points: SparkPoint[] }) {
  const paths = sparkPaths(points, WIDTH, HEIGHT - 2);
  if (paths.length === 0) return null;
  return (
    <svg
      viewBox={`0 -1 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      className="h-7 w-full overflow-visible text-muted in-data-dimmed:opacity-60"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinejoin="round"
      aria-hidden="true"
      data-spark=""
    >
      {paths.map((path) => (
        <path key={path} d={path} vectorEffect="non-scaling-stroke" />
      ))}
    </svg>
  );
}
