// Sentences about a frame. They are made from the frame's own context, never from the range that is selected now.

import { countryName, formatCount, formatValue, isInlineUnit } from "../lib/format.ts";
import { clockOrInstant, formatSpan, offsetLabel, timeZoneLabel } from "../lib/time.ts";
import { figureText } from "./cellText.ts";
import type { Comparison, Figure, Frame, FrameContext } from "./frame.ts";

/** The span that the frame covers: its own, or the start and the end. */
export const spanWords = ({ span, start, end, zone, computedAt }: FrameContext): string =>
  span || formatSpan(start, end, zone, computedAt);

/** The span that the frame is compared with. Empty if it is not. */
export const comparedSpanWords = ({ comparison, context: { zone, computedAt } }: Frame): string =>
  comparison ? formatSpan(comparison.context.start, comparison.context.end, zone, computedAt) : "";

/** "Madrid, UTC+1". */
export const zoneWords = ({ zone, end }: FrameContext): string =>
  zone === "UTC" ? "UTC" : `${timeZoneLabel(zone)}, ${offsetLabel(end, zone)}`;

/** "11:22:36", with the day if it is not that of `now`. */
export const asOfWords = ({ computedAt, zone }: FrameContext, now: number): string =>
  clockOrInstant(computedAt, zone, now);

/** "12 minutes", "1 hour". */
export function intervalWords(ms: number): string {
  const units: [number, string][] = [
    [7 * 86_400_000, "week"],
    [86_400_000, "day"],
    [3_600_000, "hour"],
    [60_000, "minute"],
    [1000, "second"],
  ];
  const [factor, name] = units.find(([factor]) => ms >= factor && ms % factor === 0) ?? [1, "millisecond"];
  const count = ms / factor;
  return count === 1 ? name : `${formatCount(count)} ${name}s`;
}

/** Why a value of a dimension stands for many. */
const REST_WORDS =
  "All values beyond the 5,000 most frequent of a day, or as many as the server is set to keep apart, counted together";

/** The same of a question's breakdown, or of a panel. */
export const restWords = ({ detail }: Frame): string =>
  detail ? "All values that have no line of their own, counted together" : REST_WORDS;

/** "country code: Spain", "page url: /pricing". */
export function filterWords({ dimension, value }: { dimension: string; value: string }): string {
  const country = /(^|_)country(_code)?$/.test(dimension) && /^[A-Z]{2}$/.test(value);
  return `${dimensionWords(dimension)}: ${country ? countryName(value) : value}`;
}

export const dimensionWords = (name: string): string => name.replaceAll("_", " ").replace(/^country code$/, "country");

/** Why nothing is drawn: "No page_view events 10:00–11:00". */
export function emptyWords(frame: Frame, events: string[]): string {
  const what = events.length === 0 ? "No data" : `No ${listWords(events)} events`;
  const { span } = frame.context;
  return span
    ? `${what} in the ${span}`
    : `${what} ${formatSpan(frame.context.start, frame.context.end, frame.context.zone, frame.context.computedAt)}`;
}

const MAX_LISTED = 3;

function listWords(names: string[]): string {
  if (names.length > MAX_LISTED)
    return `${names.slice(0, MAX_LISTED - 1).join(", ")} or ${names.length - MAX_LISTED + 1} other`;
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}

/** Figures of a panel as a sentence: "1,478 sessions in the last 5 minutes, 5.2% more than last week". */
export function figureWords(figure: Figure, frame: Frame): string {
  const text = `${figureText(figure, frame)} ${figure.label}`.trim();
  const change = figure.comparison?.changePct;
  if (!figure.comparison) return text;
  if (change === null || change === undefined) return `${text} (${noChangeWords(figure.comparison)})`;
  const direction = change < 0 ? "less" : "more";
  return `${text} (${formatValue(Math.abs(change), "%")} ${direction} than ${figure.comparison.label})`;
}

/** Why there is no change in percent. */
export const noChangeWords = ({ value }: Comparison): string =>
  value === 0 || value === null ? "nothing to compare with" : "not enough history to compare";

/** The earlier value of a figure. Empty if there is none. */
export function comparedText({ value }: Comparison, unit: string): string {
  if (value === null) return "";
  return typeof value === "bigint" && !isInlineUnit(unit) ? formatCount(value) : formatValue(value, unit);
}
