// A line without axes: how a figure has changed, beside the figure.

export interface Sparkline {
  /** Paths in a drawing of 100 by 100, one per stretch without a gap. */
  line: string;
  area: string;
  /** The part that will still change. */
  running: string;
}

/** The extent of the values, which includes zero, so that small changes look small. */
export function extentOf(values: (number | null)[]): { low: number; high: number } {
  let [low, high] = [0, 0];
  for (const value of values) {
    if (value === null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return { low, high };
}

/** `partialIndex` is the index of the running bucket. Lines that are compared need a common extent. */
export function toSparkline(
  values: (number | null)[],
  partialIndex: number = values.length,
  { low, high } = extentOf(values),
): Sparkline {
  const span = high - low || 1;
  const x = (index: number) => Number(((100 * index) / Math.max(1, values.length - 1)).toFixed(2));
  const y = (value: number) => Number((100 - (100 * (value - low)) / span).toFixed(2));
  const zero = y(0);
  let line = "";
  let area = "";
  let running = "";
  let begun = -1;
  const close = (end: number) => {
    if (begun >= 0) area += `V${zero}H${x(begun)}Z`;
    begun = -1;
    return end;
  };
  for (const [index, value] of values.entries()) {
    if (value === null || index >= partialIndex) {
      close(index);
      continue;
    }
    const point = `${x(index)} ${y(value)}`;
    line += begun < 0 ? `M${point}` : `L${point}`;
    area += begun < 0 ? `M${point}` : `L${point}`;
    if (begun < 0) begun = index;
  }
  close(values.length);
  const last = values[partialIndex];
  const before = values[partialIndex - 1];
  if (last !== null && last !== undefined && before !== null && before !== undefined) {
    running = `M${x(partialIndex - 1)} ${y(before)}L${x(partialIndex)} ${y(last)}`;
  }
  return { line, area, running };
}
