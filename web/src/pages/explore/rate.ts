// Trends that are a rate: some events as a share of others.

import { percentFactor, RATE } from "../../query/rate.ts";
import { type Measure, type Series, seriesOf, type Trend } from "./question.ts";

/** What is counted of the events, so that one count can be a share of another. */
export const COUNTS: readonly Measure[] = ["events", "visitors", "sessions", "unlinked"];
const isShare = (part: Series, whole: Series): boolean =>
  part.measure === whole.measure && COUNTS.includes(part.measure);

/** The events and those that they are a share of, if the trend is a rate. */
export function rateOf({ series, formula }: Trend): [part: Series, whole: Series] | undefined {
  const [part, whole, more] = series;
  if (!part || !whole || more || percentFactor(formula) === undefined) return undefined;
  return isShare(part, whole) ? [part, whole] : undefined;
}

/**
 * The trend as a rate: of its two series, or of its first one and any event. Of any event itself all is a share of all: the
 * suggested one takes its place.
 */
export function asRate(trend: Trend, suggested = ""): Trend {
  const [first = seriesOf(""), second, more] = trend.series;
  const event = first.event === "" && first.where.items.length === 0 ? suggested : first.event;
  const part: Series = { ...first, event, ...(!COUNTS.includes(first.measure) && { measure: "events", property: "" }) };
  const whole = second && !more && isShare(part, second) ? second : seriesOf("", part.measure);
  return { ...trend, series: [part, whole], formula: RATE };
}
