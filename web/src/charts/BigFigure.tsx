import type { Figure, Frame } from "../frame/frame.ts";
import { figureView, fittingFontSize } from "./bigFigure.ts";

interface Props {
  figure: Figure;
  frame: Frame;
  /** In rem. */
  size: number;
  /** What stands beside it, in rem. */
  beside?: number;
  dimmed?: boolean;
}

/** A figure as text: it scales with its container, and is clipped below the smallest size. */
export function BigFigure({ figure, frame, size, beside = 0, dimmed = false }: Props) {
  const { text, exact } = figureView(figure, frame);
  return (
    <span
      data-figure=""
      title={exact}
      className={`block min-w-0 truncate leading-tight font-semibold tracking-tight tabular-nums transition-colors duration-150 motion-reduce:transition-none ${dimmed ? "text-muted" : "text-ink"}`}
      style={{ fontSize: fittingFontSize(text, size, beside) }}
    >
      {text}
    </span>
  );
}
