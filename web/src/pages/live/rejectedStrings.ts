// The words about rejected events.

import { formatCount, pluralize } from "../../lib/format.ts";

export const words = {
  title: "Rejected events",
  none: "No event was rejected",
  noneHint:
    "Since the server was started, every event that it received was valid. Rejected ones appear here with the reason and what to do.",
  failed: "The rejected events cannot be read",
  loading: "Loading rejected events",
  reasons: "Reasons",
  reasonsHint: "Since the server was started",
  moreReasons: (count: number) => `${formatCount(count)} more`,
  fewerReasons: "Fewer",
  total: (count: number, reasons: number) =>
    `${pluralize(count, "event")} rejected for ${pluralize(reasons, "reason")}`,
  list: "Rejected events, the newest first",
  listed: (shown: number, total: number) =>
    shown < total ? `The last ${formatCount(shown)} of ${formatCount(total)}` : pluralize(shown, "event"),
  notKept: "None of them is kept: the server keeps the last 1,000 of all reasons.",
  all: "Show all reasons",
  columns: {
    time: "Time",
    source: "Source",
    event: "Event",
    reason: "Reason",
    key: "Key",
    events: "Events",
    last: "Last",
  },
  noName: "no name",
  noKey: "no key",
  wholeEvent: "event",
  open: (name: string, time: string) => `${name}, rejected at ${time}: show why`,
  inspector: "Rejected event",
  why: "Why",
  fix: "How to fix it",
  docs: (file: string) => `More in ${file}`,
  api: "Reference of the HTTP API",
  payload: "What was sent, cut to 500 bytes",
  noPayload: "What was sent could not be decoded.",
  sentBy: (library: string, source: string, key: string) =>
    `${library === "" ? "Over" : `${library}, over`} ${source}, ${key === "" ? "without a key" : `with the key ${key}`}`,
  since: (first: string, last: string) => (first === last ? last : `${first} to ${last}`),
  restart: "They are forgotten when the server restarts.",
  fixes: {
    nameMissing: "Set event_name to the name of what happened, for example page_view.",
    nameLong: "Shorten event_name to 128 bytes. What varies, such as a product's name, belongs in properties.",
    nameControl: "Remove line breaks, tabs and other control characters from event_name.",
    nameForbidden: "Send one of the events that the key is limited to, or create a key that may send this one.",
    timeMissing: "Set timestamp to when the event happened, in RFC 3339: 2026-11-21T10:00:00.5Z.",
    timeFuture:
      "Correct the sender's clock, or its unit: milliseconds sent as seconds are far in the future. MILLRACE_MAX_CLOCK_SKEW_MS says how far off the server lets it be.",
    timeOld:
      "Check the sender's clock and unit. Events older than RETENTION_DAYS are not stored: raise it to import history.",
    timeNanos: "Set nanos to what is left of a second: 0 to 999,999,999.",
    timeFormat: "Write timestamp in RFC 3339, with a time zone: 2026-11-21T10:00:00.5Z.",
    idLong: "Shorten the id to 256 bytes. An id names a session or a user; a token or a URL is none.",
    country: "Send the two-letter code of ISO 3166-1, for example ES, or leave country_code out.",
    eventId: "Send a UUID as event_id, or leave it out: the server then gives the event one.",
    propertiesLarge:
      "Send fewer or shorter properties: at most 64 KiB of JSON in 32 levels. Texts of pages and stack traces are the usual cause.",
    propertiesNumber: "Leave values that are not finite numbers out, or send them as text.",
    propertiesJson:
      "Send properties as one JSON object. As a text in properties_json it has to be escaped once, not twice.",
    segmentType: "Send the call as track, page, screen, identify, group or alias.",
    segmentMessage: "Send one message of Segment's HTTP API, with its fields and their types.",
    otlpName: "Give the log record an event name: its field event_name, or the attribute event.name.",
    large: "Send less with one event: its size is limited.",
    unknownField:
      "Move a field that the contract does not have into properties. Names are snake_case or lowerCamelCase.",
    twice: "Send each field once.",
    other: "There are more than 200 different reasons. The events in the list have their own.",
    json: "Send a valid JSON object per event. The reason tells the line and column of the first mistake.",
  },
};
