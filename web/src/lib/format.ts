// Numbers as text, in the browser's locale.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const fraction = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

export const formatCount = (value: number): string => whole.format(value);

/** At most two decimals, for columns that may hold integers or fractions. */
export const formatDecimal = (value: number): string => fraction.format(value);

/** For axes, where 12,000 takes too much space: 12K. */
export const formatCompact = (value: number): string => short.format(value);

/** No-break, so that a number and its unit stay on one line. */
const SPACE = "\u00a0";

const oneDigit = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const twoDigits = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** Values below 10 % keep two decimals, so that 0.04 % and 0.40 % stay distinct. */
export function formatPercent(value: number): string {
  const format = Math.abs(value) >= 10 ? oneDigit : twoDigits;
  return `${format.format(value)}${SPACE}%`;
}

/** A configured percentage: 1 %, not 1.00 %. */
export const formatThreshold = (value: number): string => `${fraction.format(value)}${SPACE}%`;

/** A relative change in percent, always with a sign. */
export const formatChange = (value: number): string =>
  `${value > 0 ? "+" : value < 0 ? "−" : "±"}${formatPercent(Math.abs(value))}`;

/** For example 840 ms, 12.4 s, 3 min 5 s. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${whole.format(ms)}${SPACE}ms`;
  if (ms < 60_000) return `${oneDigit.format(ms / 1000)}${SPACE}s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}${SPACE}min ${seconds % 60}${SPACE}s`;
  return `${whole.format(Math.floor(minutes / 60))}${SPACE}h ${minutes % 60}${SPACE}min`;
}

export const pluralize = (value: number, singular: string, plural = `${singular}s`): string =>
  `${formatCount(value)} ${value === 1 ? singular : plural}`;

const regions = new Intl.DisplayNames(undefined, { type: "region", fallback: "code" });

/** The name of an ISO 3166 country code. The server sends "ZZ" for an unknown country. */
export function countryName(code: string): string {
  if (code === "ZZ" || code === "") return "Unknown";
  try {
    return regions.of(code) ?? code;
  } catch {
    return code;
  }
}
