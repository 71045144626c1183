// Where the stream gets its events from: the server's calls, in the types of the page.

import { call, stream } from "../../api/client.ts";
import type { AcceptedEvent, EventFilter, Init } from "../../api/messages.ts";
import { timestampMs, toTimestamp } from "../../api/messages.ts";
import { SEARCH_EVENTS, TAIL_EVENTS } from "../../api/methods.ts";
import type { EventFilterInit } from "./conditions.ts";
import type { LiveEvent } from "./events.ts";

/** Events since the message before. In the first message: stored ones, the oldest first. */
export interface TailMessage {
  events: LiveEvent[];
  leftOut: number;
  unexamined: number;
  /** Why the first message has no stored events, or fewer than there are. */
  recentProblem: string;
}

export interface Page {
  /** The newest first. */
  events: LiveEvent[];
  /** Empty on the last page. */
  nextPageToken: string;
}

export interface SearchRequest {
  filter: EventFilterInit | undefined;
  /** Unix milliseconds: inclusive, exclusive. */
  from: number;
  to: number;
  pageSize: number;
  pageToken: string;
}

export interface EventSource {
  tail(
    request: { filter: EventFilterInit | undefined; maxPerSecond: number; recent: number },
    signal: AbortSignal,
  ): AsyncIterable<TailMessage>;
  search(request: SearchRequest, signal: AbortSignal): Promise<Page>;
}

const toLiveEvent = (event: AcceptedEvent): LiveEvent => ({
  id: event.eventId,
  name: event.eventName,
  at: event.timestamp ? timestampMs(event.timestamp) : 0,
  receivedAt: event.receivedAt ? timestampMs(event.receivedAt) : 0,
  session: event.sessionId,
  user: event.userId ?? "",
  device: event.deviceType,
  country: event.countryCode,
  properties: event.propertiesJson,
});

const toFilter = (filter: EventFilterInit | undefined) => filter as Init<EventFilter> | undefined;

export const serverSource: EventSource = {
  async *tail({ filter, maxPerSecond, recent }, signal) {
    const messages = stream(TAIL_EVENTS, { filter: toFilter(filter), maxPerSecond, recent }, signal);
    for await (const { events, skipped, unexamined, recentProblem } of messages) {
      yield {
        events: events.map(toLiveEvent),
        leftOut: Number(skipped),
        unexamined: Number(unexamined),
        recentProblem,
      };
    }
  },
  async search({ filter, from, to, pageSize, pageToken }, signal) {
    const range = { interval: { start: toTimestamp(from), end: toTimestamp(to) } };
    const request = { filter: toFilter(filter), range, pageSize, pageToken };
    const { events, nextPageToken } = await call(SEARCH_EVENTS, request, signal);
    return { events: events.map(toLiveEvent), nextPageToken };
  },
};
