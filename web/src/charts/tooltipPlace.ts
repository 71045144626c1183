interface Size {
  width: number;
  height: number;
}

const DISTANCE = 14;

/**
 * Where the tooltip is, relative to the chart: beside the point, on the side with more space. If neither side has enough,
 * it is above the chart. It never covers the point.
 */
export function tooltipPlace(point: { x: number; y: number }, tip: Size, chart: Size): { left: number; top: number } {
  const right = point.x + DISTANCE;
  const left = point.x - DISTANCE - tip.width;
  const top = Math.max(0, Math.min(point.y - tip.height / 2, chart.height - tip.height));
  const fitsRight = right + tip.width <= chart.width;
  const fitsLeft = left >= 0;
  if (fitsRight && (point.x <= chart.width / 2 || !fitsLeft)) return { left: right, top };
  if (fitsLeft) return { left, top };
  return { left: Math.max(0, Math.min(point.x - tip.width / 2, chart.width - tip.width)), top: -tip.height - 6 };
}
