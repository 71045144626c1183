// Where an event can be looked at: search parameters of other pages.

import type { Search } from "../../shell/view.ts";
import { writeQuestion } from "../explore/address.ts";
import { seriesOf, trendOf } from "../explore/question.ts";
import { formatCondition } from "../live/conditions.ts";

interface Addresses {
  /** Of a trend of the event. */
  explore: Search;
  /** Of the live events with its name, and with a value of a field. */
  live: Search;
}

/** `view`: what the address of this page says about range, zone and filters. A filter of the bar could hide the event. */
export function eventAddress(event: string, view: Search, field?: { name: string; value: string }): Addresses {
  const where = [formatCondition({ field: "event_name", operator: "is", value: event })];
  if (field) where.push(formatCondition({ field: field.name, operator: "is", value: field.value }));
  return {
    explore: writeQuestion(trendOf([seriesOf(event)]), { ...view, filter: undefined }),
    live: { ...view, filter: undefined, where },
  };
}
