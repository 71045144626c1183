// Draws annotations onto uPlot's canvas: a thin dotted line with a flag at the top, in the colour of texts, because they are
// neither values nor trouble.

import type uPlot from "uplot";
import type { Annotation } from "./annotations.ts";
import type { ChartColors } from "./chartColors.ts";

const FLAG = 7;

export function drawAnnotations(u: uPlot, shown: readonly Annotation[], colors: ChartColors, ratio: number): void {
  if (shown.length === 0) return;
  const { ctx, bbox } = u;
  ctx.save();
  ctx.strokeStyle = colors("--muted");
  ctx.fillStyle = colors("--muted");
  ctx.lineWidth = ratio;
  ctx.setLineDash([2 * ratio, 3 * ratio]);
  let last = Number.NEGATIVE_INFINITY;
  for (const { at } of shown) {
    const x = Math.round(u.valToPos(at, "x", true)) + 0.5;
    // Lines on top of each other would be one solid line.
    if (x - last < 2 * ratio) continue;
    last = x;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - (FLAG / 2) * ratio, bbox.top - FLAG * ratio);
    ctx.lineTo(x + (FLAG / 2) * ratio, bbox.top - FLAG * ratio);
    ctx.lineTo(x, bbox.top);
    ctx.fill();
  }
  ctx.restore();
}
