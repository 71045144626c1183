// Figures as text, in the visitor's language.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const fraction = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

export const formatCount = (value: number): string => whole.format(value);

/** At most two decimals; for values of which it is not known whether they are whole. */
export const formatDecimal = (value: number): string => fraction.format(value);

/** For axes, where 12,000 would crowd the labels: 12K. */
export const formatCompact = (value: number): string => short.format(value);

/** A value never parts from its unit at the end of a line. */
const SPACE = "\u00a0";

const oneDigit = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const twoDigits = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** A share. Small ones keep two decimals, since 0.04 % and 0.40 % are different news. */
export function formatPercent(value: number): string {
  const format = Math.abs(value) >= 10 ? oneDigit : twoDigits;
  return `${format.format(value)}${SPACE}%`;
}

/** A share that people have chosen, such as a threshold: 1 %, not 1.00 %. */
export const formatThreshold = (value: number): string => `${fraction.format(value)}${SPACE}%`;

/** A change, with its sign. */
export const formatChange = (value: number): string =>
  `${value > 0 ? "+" : value < 0 ? "−" : "±"}${formatPercent(Math.abs(value))}`;

/** A duration as people say it: 840 ms, 12.4 s, 3 min 5 s. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${whole.format(ms)}${SPACE}ms`;
  if (ms < 60_000) return `${oneDigit.format(ms / 1000)}${SPACE}s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}${SPACE}min ${seconds % 60}${SPACE}s`;
  return `${whole.format(Math.floor(minutes / 60))}${SPACE}h ${minutes % 60}${SPACE}min`;
}

/** One or many. */
export const pluralize = (value: number, one: string, many = `${one}s`): string =>
  `${formatCount(value)} ${value === 1 ? one : many}`;

const regions = new Intl.DisplayNames(undefined, { type: "region", fallback: "code" });

/** The name of an ISO 3166 country; "ZZ" is the server's word for not known. */
export function countryName(code: string): string {
  if (code === "ZZ" || code === "") return "Unknown";
  try {
    return regions.of(code) ?? code;
  } catch {
    return code;
  }
}
