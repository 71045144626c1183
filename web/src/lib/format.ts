// Numbers as text. The page is in English, so numbers are too, whatever the browser's language: "1,234.5", "42.3%".

export const LOCALE = "en-GB";

/** No-break, so that a number and its unit stay on one line. */
const SPACE = "\u00a0";

/** The sign is as wide as a plus, and screen readers read it as "minus". */
const withMinus = (text: string): string => text.replaceAll("-", "−");

const formats = new Map<string, Intl.NumberFormat>();

/** Cached: creating a formatter costs far more than using it. */
function numberFormat(minDecimals: number, maxDecimals: number): Intl.NumberFormat {
  const key = `${minDecimals} ${maxDecimals}`;
  let format = formats.get(key);
  if (!format) {
    // "negative": a value that rounds to zero has no sign.
    format = new Intl.NumberFormat(LOCALE, {
      minimumFractionDigits: minDecimals,
      maximumFractionDigits: maxDecimals,
      signDisplay: "negative",
    });
    formats.set(key, format);
  }
  return format;
}

/** With exactly this many decimals. */
export const formatFixed = (value: number, decimals: number): string =>
  withMinus(numberFormat(decimals, decimals).format(value));

/** A whole number, with every digit of a bigint. */
export const formatCount = (value: number | bigint): string => withMinus(numberFormat(0, 0).format(value));

/** At most two decimals; more for values below 0.1, so that they do not become zero. */
export const formatDecimal = (value: number): string => withMinus(numberFormat(0, decimalsFor([value])).format(value));

/** How many decimals tell the values apart: 0 for whole numbers, else 2, or three significant digits below 0.1. */
export function decimalsFor(values: Iterable<unknown>): number {
  let largest = 0;
  let whole = true;
  for (const value of values) {
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    if (!Number.isInteger(value)) whole = false;
    largest = Math.max(largest, Math.abs(value));
  }
  if (whole) return 0;
  return largest < 0.1 ? Math.min(12, 2 + Math.ceil(-Math.log10(largest))) : 2;
}

const SCALES = [
  { factor: 1e12, suffix: "T" },
  { factor: 1e9, suffix: "B" },
  { factor: 1e6, suffix: "M" },
  { factor: 1e3, suffix: "K" },
];

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** Three significant digits: 1.35K, 82.5K, 1.84 × 10¹⁹. Whole numbers below 1,000 are exact. */
export function formatCompact(value: number | bigint): string {
  const number = Number(value);
  // Rounding may lead to the next scale: 999,950 is 1M, not 1,000K.
  const rounded = Number(number.toPrecision(3));
  const magnitude = Math.abs(rounded);
  if (magnitude < 1000) return formatDecimal(Math.abs(number) < 1000 ? number : rounded);
  if (magnitude >= 1e15) {
    const [mantissa = "", exponent = ""] = number.toExponential(2).split("e+");
    const digits = [...exponent].map((digit) => SUPERSCRIPTS[Number(digit)]).join("");
    return withMinus(`${mantissa}${SPACE}×${SPACE}10${digits}`);
  }
  const scale = SCALES.find(({ factor }) => magnitude >= factor);
  return scale
    ? `${withMinus(numberFormat(0, 2).format(rounded / scale.factor))}${scale.suffix}`
    : formatCount(rounded);
}

/** Values below 10% keep two decimals, so that 0.04% and 0.40% stay distinct. */
export function formatPercent(value: number): string {
  const twoDecimals = Math.round(Math.abs(value) * 100) / 100;
  return `${formatFixed(value, twoDecimals >= 10 ? 1 : 2)}%`;
}

/** Decimals that are right for all percentages of a column: one, unless small ones would become alike. */
export function percentDecimals(values: Iterable<unknown>): number {
  let largest = 0;
  let smallest = Number.POSITIVE_INFINITY;
  for (const value of values) {
    if (typeof value !== "number" || value === 0 || !Number.isFinite(value)) continue;
    largest = Math.max(largest, Math.abs(value));
    smallest = Math.min(smallest, Math.abs(value));
  }
  return largest >= 10 && smallest >= 1 ? 1 : 2;
}

/** A configured percentage: 1%, not 1.00%. */
export const formatThreshold = (value: number): string => `${formatDecimal(value)}%`;

/** A relative change in percent, with a sign unless it rounds to zero. */
export function formatChange(value: number): string {
  const text = formatPercent(value);
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text;
}

/** For example 840 ms, 12.4 s, 3 min 5 s, 2 h 5 min, 3 d 4 h. The unit is chosen after rounding: 999.6 ms is 1.0 s. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `−${formatDuration(-ms)}`;
  if (ms > 0 && ms < 10 && !Number.isInteger(ms)) return `${formatDecimal(ms)}${SPACE}ms`;
  if (Math.round(ms) < 1000) return `${formatCount(Math.round(ms))}${SPACE}ms`;
  if (Math.round(ms / 100) < 600) return `${formatFixed(ms / 1000, 1)}${SPACE}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${SPACE}min${SPACE}${seconds % 60}${SPACE}s`;
  const minutes = Math.round(ms / 60_000);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)}${SPACE}h${SPACE}${minutes % 60}${SPACE}min`;
  const hours = Math.round(ms / 3_600_000);
  return `${formatCount(Math.floor(hours / 24))}${SPACE}d${SPACE}${hours % 24}${SPACE}h`;
}

const BYTE_UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];

/** Decimal units: 18.4 EB. */
export function formatBytes(value: number | bigint): string {
  let scaled = Number(value);
  let unit = 0;
  while (Math.abs(Number(scaled.toPrecision(3))) >= 1000 && unit < BYTE_UNITS.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  const text = unit === 0 ? formatDecimal(scaled) : formatDecimal(Number(scaled.toPrecision(3)));
  return `${text}${SPACE}${BYTE_UNITS[unit]}`;
}

const isBytes = (unit: string) => unit === "bytes" || unit === "B";

/** Whether the unit is part of the formatted value, so that it needs no words beside it. */
export const isInlineUnit = (unit: string): boolean => unit === "%" || unit === "ms" || unit === "s" || isBytes(unit);

/** A value in its unit. Units that are words, for example "users", are left to the label beside it. */
export function formatValue(value: number | bigint, unit: string, decimals?: number): string {
  if (typeof value === "number" && !Number.isFinite(value)) {
    return Number.isNaN(value) ? "not a number" : value > 0 ? "∞" : "−∞";
  }
  if (isBytes(unit)) return formatBytes(value);
  if (typeof value === "bigint" && !isInlineUnit(unit)) return formatCount(value);
  const number = Number(value);
  if (unit === "%") return decimals === undefined ? formatPercent(number) : `${formatFixed(number, decimals)}%`;
  if (unit === "ms") return formatDuration(number);
  if (unit === "s") return formatDuration(number * 1000);
  return decimals === undefined ? formatDecimal(number) : formatFixed(number, decimals);
}

/** A value that is drawn or added up, as floating point. Beyond 2^53 its last digits would be wrong: they are not shown. */
export const formatSum = (value: number, unit: string, decimals?: number): string =>
  Math.abs(value) > Number.MAX_SAFE_INTEGER && !isInlineUnit(unit)
    ? formatCompact(value)
    : formatValue(value, unit, decimals);

/** Labels of an axis: one scale and one number of decimals for all of them, and no label is rounded. */
export function formatTicks(ticks: number[], unit: string): string[] {
  if (unit === "ms" || unit === "s") return ticks.map((tick) => formatTickDuration(unit === "s" ? tick * 1000 : tick));
  if (isBytes(unit)) return ticks.map((tick) => formatBytes(tick));
  const largest = ticks.reduce((max, tick) => Math.max(max, Math.abs(tick)), 0);
  const scale = largest >= 10_000 ? SCALES.find(({ factor }) => largest >= factor) : undefined;
  const scaled = ticks.map((tick) => tick / (scale?.factor ?? 1));
  const decimals = scaled.reduce((most, value) => Math.max(most, decimalsOf(value)), 0);
  return scaled.map((value) => {
    const text = formatFixed(value, decimals);
    if (value === 0) return unit === "%" ? "0%" : "0";
    return `${text}${scale?.suffix ?? ""}${unit === "%" ? "%" : ""}`;
  });
}

/** Ticks are multiples of 1, 2 or 5 powers of ten, so few decimals are exact. */
function decimalsOf(value: number): number {
  for (let decimals = 0; decimals < 10; decimals += 1) {
    if (Math.abs(value - Number(value.toFixed(decimals))) <= Math.abs(value) * 1e-9) return decimals;
  }
  return 10;
}

function formatTickDuration(ms: number): string {
  if (ms === 0) return "0";
  const units: [number, string][] = [
    [3_600_000, "h"],
    [60_000, "min"],
    [1000, "s"],
  ];
  const [factor, name] = units.find(([factor]) => Math.abs(ms) >= factor) ?? [1, "ms"];
  const value = ms / factor;
  return `${formatFixed(value, Math.min(2, decimalsOf(value)))}${SPACE}${name}`;
}

export const pluralize = (value: number, singular: string, plural = `${singular}s`): string =>
  `${formatCount(value)} ${value === 1 ? singular : plural}`;

const regions = new Intl.DisplayNames(LOCALE, { type: "region", fallback: "code" });

/** The name of an ISO 3166 country code. The server sends "ZZ" for an unknown country. */
export function countryName(code: string): string {
  if (code === "ZZ" || code === "") return "Unknown";
  try {
    return regions.of(code) ?? code;
  } catch {
    return code;
  }
}
