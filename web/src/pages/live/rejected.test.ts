import { expect, test } from "vitest";
import { belongsTo, howToFix, reasonPattern } from "./rejected.ts";
import { words } from "./rejectedStrings.ts";

test.each([
  [
    "2026-11-21T10:00:00Z is in the future; the limit is 600 s after the server's time, which is 2026-11-21T09:00:00Z",
    "… is in the future; the limit is … s after the server's time, which is …",
  ],
  ['"SPAIN" is not an ISO 3166-1 alpha-2 code like "ES"', "… is not an ISO … … code like …"],
  ['"a \\"b\\" c" has 300 bytes; the limit is 256', "… has … bytes; the limit is …"],
  ["is missing; 1 to 128 bytes are required", "is missing; … to … bytes are required"],
  ["expected `,` or `}` at line 3 column 14", "expected `,` or `}` at line … column …"],
])("%s: as the server counts it", (reason, pattern) => {
  expect(reasonPattern(reason)).toBe(pattern);
});

test("an event belongs to the reason that counts it", () => {
  const counted = { field: "country_code", reason: "… is not an ISO … … code like …", source: 2 };
  const event = { field: "country_code", reason: '"X1" is not an ISO 3166-1 alpha-2 code like "ES"', source: 2 };
  expect(belongsTo(event, counted)).toBe(true);
  expect(belongsTo({ ...event, source: 1 }, counted)).toBe(false);
});

test.each([
  ["event_name", "is missing; 1 to 128 bytes are required", words.fixes.nameMissing],
  ["event_name", '"x" is not one of the events that this key may send: a', words.fixes.nameForbidden],
  ["timestamp", "x is in the future; the limit is 600 s after", words.fixes.timeFuture],
  ["timestamp", "x is older than the retention of 90 days", words.fixes.timeOld],
  ["session_id", "x has 300 bytes; the limit is 256", words.fixes.idLong],
  ["country_code", "x is not an ISO 3166-1 alpha-2 code", words.fixes.country],
  ["properties_json", "has 70000 bytes of JSON; the limit is 65536", words.fixes.propertiesLarge],
  ["properties", "nests more than 32 levels deep", words.fixes.propertiesLarge],
  ["properties_json", "is not valid JSON: expected value", words.fixes.propertiesJson],
  ["", "unrecognized field name 'evnt_name'; an event has event_name", words.fixes.unknownField],
  ["", 'timestamp "yesterday" is invalid; use RFC 3339', words.fixes.timeFormat],
  ["", "has 99 bytes of JSON; the limit is 88", words.fixes.large],
  ["event", "has 99 bytes; the limit is 88", words.fixes.large],
  ["type", "is missing; use track", words.fixes.segmentType],
  ["record", "has no event name", words.fixes.otlpName],
  ["", "expected value at line 1 column 2", words.fixes.json],
  ["", "(other)", words.fixes.other],
])("%s %s: what to do", (field, reason, text) => {
  expect(howToFix({ field, reason })).toMatchObject({ text, docs: expect.stringMatching(/^docs\/\w+\.md$/) });
});
