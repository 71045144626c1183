// The tables are written by hand. Here they are compared with the descriptors, and their bytes with those of protobuf-es.

import { create, type DescField, type DescMessage, fromBinary, ScalarType, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  DashboardService,
  QueryPanelRequestSchema,
  WatchPanelsRequestSchema,
} from "../gen/millrace/v1/dashboard_pb.ts";
import { IngestService, SendEventsRequestSchema } from "../gen/millrace/v1/ingest_pb.ts";
import { decode, encode, type Field, type Kind, repeated, type Schema, schema } from "./codec.ts";
import { METHODS } from "./dashboard.ts";
import { QUERY_PANEL_REQUEST, SEND_EVENTS_REQUEST, WATCH_PANELS_REQUEST } from "./schemas.ts";

/** Of the page's messages, what the page neither reads nor sends. */
const UNUSED = [
  "Event.country_code",
  "Event.device_type",
  "Event.event_id",
  "Event.properties",
  "Event.user_id",
  // Of a frame that another one is compared with.
  "Frame.comparison",
  "FrameColumn.type",
  "Heartbeat.insights_version",
  "Panel.parameters",
  "PanelContext.bucket",
  "PanelQuery.bucket",
  "PanelQuery.funnel",
  "PanelQuery.parameters",
  "PanelQuery.paths",
  "PanelQuery.retention",
  "PanelQuery.trend",
  "QueryPanelRequest.bucket",
  "QueryPanelRequest.parameters",
  "QueryPanelResponse.table",
  "Rejection.index",
  "Rejection.request",
  "SendEventsRequest.producer_id",
  "SendEventsRequest.sequence",
  "SendEventsRequest.start_new_numbering",
  "SendEventsResponse.duplicates",
  "SendEventsResponse.last_durable_sequence",
  "SendEventsResponse.rejected",
  "WatchPanelsResponse.active_users",
  "WatchPanelsResponse.error_rate",
  "WatchPanelsResponse.funnel",
  "WatchPanelsResponse.live_visitors",
  "WatchPanelsResponse.min_interval",
  "WatchPanelsResponse.paths",
  "WatchPanelsResponse.retention",
  "WatchPanelsResponse.signup_funnel",
  "WatchPanelsResponse.table",
  "WatchPanelsResponse.top_features",
  "WatchPanelsResponse.top_pages",
  "WatchPanelsResponse.traffic_anomaly",
  "WatchPanelsResponse.traffic_by_country",
  "WatchPanelsResponse.trend",
];

const kindOf = (field: DescField): string => {
  const element = field.fieldKind === "list" ? field.listKind : field.fieldKind;
  if (element === "enum") return "int32";
  return field.scalar === undefined ? element : ScalarType[field.scalar].toLowerCase();
};
const describeTable = ({ name, kind, repeated = false, optional = false, oneof }: Field) => ({
  name,
  kind: typeof kind === "string" ? kind : "message",
  repeated,
  optional,
  oneof,
});
const describeField = (field: DescField) => ({
  name: field.localName,
  kind: kindOf(field),
  repeated: field.fieldKind === "list",
  // Messages are always optional.
  optional: field.proto.proto3Optional && !field.message,
  oneof: field.oneof?.localName,
});

function compare(type: Schema<unknown>, message: DescMessage, unused: Set<string>): void {
  for (const field of message.fields) {
    const entry = type.fields.get(field.number);
    if (!entry) unused.add(`${message.name}.${field.name}`);
    else expect(describeTable(entry), `${message.name}.${field.name}`).toEqual(describeField(field));
    if (entry && typeof entry.kind !== "string" && field.message) compare(entry.kind, field.message, unused);
  }
  const numbers = message.fields.map((field) => field.number);
  for (const number of type.fields.keys()) expect(numbers, message.name).toContain(number);
}

test("the tables are as in the contract, and the methods have its paths", () => {
  const unused = new Set<string>();
  for (const { path, request, response } of Object.values(METHODS)) {
    const method = [DashboardService, IngestService]
      .flatMap(({ methods }) => methods)
      .find(({ parent, name }) => `${parent.typeName}/${name}` === path);
    if (!method) throw new Error(`${path} is not in the contract`);
    compare(request, method.input, unused);
    compare(response, method.output, unused);
  }
  expect([...unused].sort()).toEqual(UNUSED);
});

test("requests are encoded as by protobuf-es", () => {
  const watch = {
    queries: [
      { id: "a", panel: "ä", timeRange: 3, timeZone: "" },
      { id: "b", panel: "", timeRange: 0 },
      {
        id: "c",
        panel: "c",
        interval: { start: { seconds: 1n, nanos: 5 }, end: { seconds: 2n } },
        filters: [{ dimension: "country_code", values: ["ES", "FR"] }],
        compare: 2,
      },
    ],
    resultFormat: 1,
  };
  expect(encode(WATCH_PANELS_REQUEST, watch)).toEqual(
    toBinary(WatchPanelsRequestSchema, create(WatchPanelsRequestSchema, watch)),
  );
  const query = { panel: "a", timeRange: 1, timeZone: "UTC", resultFormat: 1 };
  const decoded = fromBinary(QueryPanelRequestSchema, encode(QUERY_PANEL_REQUEST, query));
  expect(decoded).toEqual(create(QueryPanelRequestSchema, query));
  const events = {
    events: [
      {
        eventName: "page_view",
        sessionId: "s",
        timestamp: { seconds: 1_700_000_000n, nanos: 5_000_000 },
        propertiesKind: { case: "propertiesJson" as const, value: "{}" },
      },
    ],
  };
  const sent = create(SendEventsRequestSchema, events);
  expect(fromBinary(SendEventsRequestSchema, encode(SEND_EVENTS_REQUEST, events))).toEqual(sent);
});

test.each<[Kind, unknown[]]>([
  ["int64", [-1n, 2n ** 62n]],
  ["uint64", [2n ** 64n - 1n]],
  ["double", [0.5, Number.NaN]],
  ["bool", [true, false]],
  ["string", ["", "ä"]],
])("repeated %s values are read, packed or not", (kind, values) => {
  const type = schema<{ values: unknown[] }>({ 1: ["values", repeated(kind)] });
  expect(decode(type, encode(type, { values }))).toEqual({ values });
});

test("truncated bytes are rejected, and unknown fields are skipped", () => {
  const bytes = encode(QUERY_PANEL_REQUEST, { panel: "orders", timeZone: "UTC" });
  expect(() => decode(QUERY_PANEL_REQUEST, bytes.subarray(0, bytes.length - 1))).toThrow();
  expect(decode(schema<{ timeZone: string }>({ 3: ["timeZone", "string"] }), bytes)).toEqual({ timeZone: "UTC" });
});
