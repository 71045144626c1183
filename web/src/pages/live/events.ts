// An event as the page shows it, and the short texts of its row.

import { PALETTE } from "../../frame/colors.ts";
import { textOf, topLevelValues } from "./json.ts";

export interface LiveEvent {
  /** A UUID; empty for a live event that was sent without one. */
  id: string;
  name: string;
  /** When it happened, by the producer's clock. Unix milliseconds. */
  at: number;
  /** When the server received it. */
  receivedAt: number;
  /** May be empty. */
  session: string;
  /** May be empty. */
  user: string;
  device: string;
  /** "ZZ" if it is not known. */
  country: string;
  /** A JSON object, as it was sent. */
  properties: string;
}

/** The same event read twice, once live and once stored: a live one may have no id yet. */
export const identityOf = ({ at, name, session, user }: LiveEvent): string => `${at}\t${name}\t${session}\t${user}`;

/** A colour by name, as a CSS variable: the same in every list. The name is always beside it. */
export function colorOf(name: string): string {
  let hash = 2_166_136_261;
  for (let i = 0; i < name.length; i += 1) hash = Math.imul(hash ^ name.charCodeAt(i), 16_777_619);
  hash = Math.imul(hash ^ (hash >>> 15), 2_246_822_507);
  return PALETTE[(hash >>> 0) % PALETTE.length] ?? "--other";
}

/** What the button "Send a test event" of the first minutes sends. */
export const isTestEvent = ({ session, properties }: LiveEvent): boolean =>
  session.startsWith("test-") && properties.includes('"/test"');

/** Events that report a fault, by the names that producers usually give them. */
export const isFault = (name: string): boolean =>
  /(^|[^a-z])(error|exception|crash|fault|failure|failed|panic)/i.test(name);

const PLACES = ["page_url", "page", "path", "url", "screen", "feature", "feature_name"];
/** Values that are read for a row. Of long properties, only the beginning is. */
const MAX_READ = 40;
const MAX_CHARACTERS = 4_000;
const MAX_SHOWN = 3;

const summaries = new WeakMap<LiveEvent, string>();

/** What a row says of the properties: the page or feature, otherwise the first ones. */
export function summaryOf(event: LiveEvent): string {
  let summary = summaries.get(event);
  if (summary === undefined) {
    summary = summarize(event.properties);
    summaries.set(event, summary);
  }
  return summary;
}

export function summarize(properties: string): string {
  const values = topLevelValues(properties.slice(0, MAX_CHARACTERS), MAX_READ).filter(
    ([, json]) => json !== '""' && json !== "null",
  );
  const place = PLACES.map((name) => values.find(([key]) => key === name)).find((found) => found !== undefined);
  const rest = values.filter((value) => value !== place).slice(0, place ? MAX_SHOWN - 1 : MAX_SHOWN);
  const words = rest.map(([key, json]) => `${key} ${textOf(json)}`);
  return [...(place ? [textOf(place[1])] : []), ...words].join(" · ");
}

/** The event in the JSON form in which it can be sent. */
export function eventJson(event: LiveEvent): string {
  const texts: [string, string][] = [
    ["event_name", event.name],
    ["timestamp", new Date(event.at).toISOString()],
    ["session_id", event.session],
    ["user_id", event.user],
    ["device_type", event.device],
    ["country_code", event.country],
    ["event_id", event.id],
  ];
  const members = texts.filter(([, text]) => text !== "").map(([key, text]) => `"${key}":${JSON.stringify(text)}`);
  return `{${members.join(",")},"properties":${event.properties || "{}"}}`;
}

/** A command that sends the event again, as a new one. `origin`: the server's address. */
export function eventCurl(event: LiveEvent, origin: string, needsKey: boolean): string {
  const body = eventJson({ ...event, id: "" }).replaceAll("'", "'\\''");
  const key = needsKey ? ` \\\n  -H "authorization: Bearer $MILLRACE_KEY"` : "";
  return `curl ${origin}/events \\\n  -H 'content-type: application/json'${key} \\\n  -d '[${body}]'`;
}
