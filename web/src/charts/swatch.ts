// The mark of a series in legends, tooltips and tables.

import type { CSSProperties } from "react";

/** Gaps over the colour, so that an image of the chart still finds the colour. */
const MASKS = [
  "",
  "repeating-linear-gradient(90deg, #000 0 3px, #0000 3px 5px)",
  "repeating-linear-gradient(90deg, #000 0 1px, #0000 1px 3px)",
];

export function swatch(color: string, dash = 0): CSSProperties {
  const maskImage = MASKS[dash % MASKS.length];
  return { background: `var(${color})`, ...(maskImage && { maskImage }) };
}
