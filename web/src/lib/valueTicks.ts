// Where the labels of a value axis are: multiples of 1, 2 or 5 powers of ten.

export interface ValueScale {
  min: number;
  max: number;
  ticks: number[];
}

/**
 * A scale that covers the values and zero, so that heights can be compared. `whole`: no label between whole numbers, for
 * counts.
 */
export function niceScale(smallest: number, largest: number, count: number, whole: boolean): ValueScale {
  let low = Math.min(0, smallest);
  let high = Math.max(0, largest);
  if (!Number.isFinite(low)) low = 0;
  if (!Number.isFinite(high)) high = 0;
  if (low === high) high = 1;
  const step = niceStep((high - low) / Math.max(1, count), whole);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  const ticks: number[] = [];
  // Multiplied rather than added up, so that 0.1 steps stay exact; the precision removes 0.30000000000000004.
  for (let i = first; i <= last; i += 1) ticks.push(Number((i * step).toPrecision(12)));
  return { min: ticks[0] ?? 0, max: ticks.at(-1) ?? 1, ticks };
}

function niceStep(rough: number, whole: boolean): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const multiple = [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10;
  const step = multiple * power;
  return whole ? Math.max(1, step) : step;
}
