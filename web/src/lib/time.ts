// Ranges, time zones and timestamp labels. Timestamps are Unix milliseconds everywhere on the page.

export const RANGES = ["1h", "6h", "24h", "7d"] as const;
export type Range = (typeof RANGES)[number];

export const RANGE_LABELS: Record<Range, string> = {
  "1h": "last hour",
  "6h": "last 6 hours",
  "24h": "last 24 hours",
  "7d": "last 7 days",
};

/** The bucket width of each range. */
export const BUCKET_LABELS: Record<Range, string> = {
  "1h": "a minute",
  "6h": "5 minutes",
  "24h": "15 minutes",
  "7d": "2 hours",
};

export const isRange = (text: string | null): text is Range => RANGES.includes(text as Range);

export function isTimeZone(name: string | null): name is string {
  if (!name) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

export const localTimeZone = (): string => new Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** "Europe/Madrid" becomes "Madrid". */
export const timeZoneLabel = (zone: string): string => zone.split("/").at(-1)?.replaceAll("_", " ") ?? zone;

const formatters = new Map<string, Intl.DateTimeFormat>();

/** Cached: creating a formatter costs far more than using it, and a chart has hundreds of labels. */
function formatter(zone: string, key: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = `${zone} ${key}`;
  let cached = formatters.get(name);
  if (!cached) {
    cached = new Intl.DateTimeFormat(undefined, { ...options, timeZone: zone });
    formatters.set(name, cached);
  }
  return cached;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;

/** Axis label: the time of day, or the date for the 7-day range. */
export function tickLabel(at: number, range: Range, zone: string): string {
  return range === "7d"
    ? formatter(zone, "day", { weekday: "short", day: "numeric" }).format(at)
    : formatter(zone, "clock", CLOCK).format(at);
}

/** Date and time, for tooltips and tables. */
export const dateTimeLabel = (at: number, zone: string): string =>
  formatter(zone, "instant", { weekday: "short", day: "numeric", month: "short", ...CLOCK }).format(at);

/** Time of day to the second. */
export const timeLabel = (at: number, zone: string): string =>
  formatter(zone, "seconds", { ...CLOCK, second: "2-digit" }).format(at);
