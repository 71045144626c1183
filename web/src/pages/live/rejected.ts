// Rejected events: which of them belong to a counted reason, and what to do about it.

import { words } from "./rejectedStrings.ts";

/** As the server counts reasons: without what differs between events. Quoted texts, and words with digits, become "…". */
export function reasonPattern(reason: string): string {
  return reason.replace(/"(?:[^"\\]|\\.)*"|[^\s"]*\d[^\s"]*/g, (value) => {
    if (value.startsWith('"')) return "…";
    return `…${/[;,:.]*$/.exec(value)?.[0] ?? ""}`;
  });
}

export interface Reason {
  field: string;
  /** Without values. */
  reason: string;
  /** EventSource of the contract. */
  source: number;
}

/** In the address. */
export const reasonKey = ({ field, reason, source }: Reason): string => `${source}:${field}:${reason}`;

export const belongsTo = (event: Reason, { field, reason, source }: Reason): boolean =>
  event.source === source && event.field === field && reasonPattern(event.reason) === reason;

export interface Fix {
  text: string;
  /** Where the documentation explains it. */
  docs: string;
}

const SENDING = "docs/sending.md";

/** By field and the reason that the server gives, the first that matches. */
const RULES: { field: RegExp; reason: RegExp; text: string; docs?: string }[] = [
  { field: /^event_name$/, reason: /is missing/, text: words.fixes.nameMissing },
  { field: /^event_name$/, reason: /bytes; the limit/, text: words.fixes.nameLong },
  { field: /^event_name$/, reason: /control character/, text: words.fixes.nameControl },
  { field: /^event_name$/, reason: /this key may send/, text: words.fixes.nameForbidden, docs: "docs/security.md" },
  { field: /^timestamp$/, reason: /is missing/, text: words.fixes.timeMissing },
  { field: /^timestamp$/, reason: /in the future/, text: words.fixes.timeFuture },
  { field: /^timestamp$/, reason: /older than the retention/, text: words.fixes.timeOld, docs: "docs/operating.md" },
  { field: /^timestamp$/, reason: /nanoseconds/, text: words.fixes.timeNanos },
  { field: /^timestamp$/, reason: /./, text: words.fixes.timeFormat },
  { field: /^(session_id|user_id)$/, reason: /./, text: words.fixes.idLong },
  { field: /^country_code$/, reason: /./, text: words.fixes.country },
  { field: /^event_id$/, reason: /./, text: words.fixes.eventId },
  { field: /^properties/, reason: /limit is|levels deep/, text: words.fixes.propertiesLarge },
  { field: /^properties/, reason: /cannot represent/, text: words.fixes.propertiesNumber },
  { field: /^properties/, reason: /./, text: words.fixes.propertiesJson },
  { field: /^type$/, reason: /./, text: words.fixes.segmentType, docs: "docs/segment.md" },
  { field: /^record$/, reason: /./, text: words.fixes.otlpName, docs: "docs/opentelemetry.md" },
  { field: /./, reason: /bytes; the limit|holds .* values/, text: words.fixes.large },
  { field: /^$/, reason: /bytes.*limit|holds .* values/, text: words.fixes.large },
  { field: /^$/, reason: /unrecognized field/, text: words.fixes.unknownField },
  { field: /^$/, reason: /^timestamp .* is invalid/, text: words.fixes.timeFormat },
  { field: /^$/, reason: /is not a message/, text: words.fixes.segmentMessage, docs: "docs/segment.md" },
  { field: /^$/, reason: /twice/, text: words.fixes.twice },
  { field: /^$/, reason: /^\(other\)$/, text: words.fixes.other },
];

export function howToFix({ field, reason }: Pick<Reason, "field" | "reason">): Fix {
  const rule = RULES.find((each) => each.field.test(field) && each.reason.test(reason));
  return { text: rule?.text ?? words.fixes.json, docs: rule?.docs ?? SENDING };
}
