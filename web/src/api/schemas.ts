// The messages of the contract, as far as the page uses them. A test compares them with the generated descriptors.

import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type {
  BrokenPanel,
  Comparison,
  Dimension,
  Figure,
  Filter,
  Frame,
  FrameColumn,
  Heartbeat,
  ListPanelsRequest,
  ListPanelsResponse,
  Panel,
  PanelQuery,
  PanelSpec,
  QueryError,
  QueryPanelRequest,
  QueryPanelResponse,
  WatchPanelsRequest,
  WatchPanelsResponse,
} from "../gen/millrace/v1/dashboard_pb.ts";
import type { Event } from "../gen/millrace/v1/event_pb.ts";
import type { Rejection, SendEventsRequest, SendEventsResponse } from "../gen/millrace/v1/ingest_pb.ts";
import type { Interval, PanelContext } from "../gen/millrace/v1/range_pb.ts";
import { oneof, optional, repeated, schema } from "./codec.ts";

export const TIMESTAMP = schema<Timestamp>({ 1: ["seconds", "int64"], 2: ["nanos", "int32"] });
export const DURATION = schema<Duration>({ 1: ["seconds", "int64"], 2: ["nanos", "int32"] });

const CONTEXT = schema<PanelContext>({
  1: ["rangeStart", TIMESTAMP],
  2: ["rangeEnd", TIMESTAMP],
  3: ["timeZone", "string"],
  4: ["computedAt", TIMESTAMP],
  5: ["approximate", "bool"],
  6: ["partialFrom", TIMESTAMP],
  7: ["span", "string"],
  8: ["bucketSeconds", "uint32"],
  10: ["source", "int32"],
  11: ["requestedStart", TIMESTAMP],
});

const INT64_VALUES = schema({ 1: ["values", repeated("int64")] });
const UINT64_VALUES = schema({ 1: ["values", repeated("uint64")] });
const DOUBLE_VALUES = schema({ 1: ["values", repeated("double")] });
const BOOL_VALUES = schema({ 1: ["values", repeated("bool")] });
const STRING_VALUES = schema({ 1: ["values", repeated("string")] });

const COLUMN = schema<FrameColumn>({
  1: ["name", "string"],
  2: ["label", "string"],
  4: ["role", "int32"],
  5: ["unit", "string"],
  6: ["additive", "bool"],
  7: ["nulls", repeated("uint32")],
  8: ["int64Values", oneof("values", INT64_VALUES)],
  9: ["uint64Values", oneof("values", UINT64_VALUES)],
  10: ["doubleValues", oneof("values", DOUBLE_VALUES)],
  11: ["boolValues", oneof("values", BOOL_VALUES)],
  12: ["stringValues", oneof("values", STRING_VALUES)],
  13: ["timestampValues", oneof("values", INT64_VALUES)],
  14: ["dateValues", oneof("values", INT64_VALUES)],
});

const COMPARISON = schema<Comparison>({
  1: ["label", "string"],
  2: ["int64Value", oneof("value", "int64")],
  3: ["uint64Value", oneof("value", "uint64")],
  4: ["doubleValue", oneof("value", "double")],
  5: ["changePct", optional("double")],
});

const FIGURE = schema<Figure>({
  1: ["label", "string"],
  2: ["unit", "string"],
  3: ["int64Value", oneof("value", "int64")],
  4: ["uint64Value", oneof("value", "uint64")],
  5: ["doubleValue", oneof("value", "double")],
  6: ["stringValue", oneof("value", "string")],
  7: ["timestampValue", oneof("value", TIMESTAMP)],
  8: ["comparison", COMPARISON],
});

const FRAME_FIELDS = {
  1: ["columns", repeated(COLUMN)],
  2: ["rows", "uint32"],
  3: ["figures", repeated(FIGURE)],
  4: ["threshold", optional("double")],
  5: ["context", CONTEXT],
} as const;
export const FRAME = schema<Frame>({
  ...FRAME_FIELDS,
  // A frame that another one is compared with has no comparison.
  6: ["comparison", schema<Frame>(FRAME_FIELDS)],
});

const PANEL_SPEC = schema<PanelSpec>({
  1: ["order", "uint32"],
  2: ["size", "int32"],
  3: ["top", "uint32"],
  4: ["events", repeated("string")],
});

const PANEL = schema<Panel>({
  1: ["name", "string"],
  2: ["title", "string"],
  3: ["description", "string"],
  4: ["unit", "string"],
  5: ["chart", "int32"],
  6: ["refresh", DURATION],
  8: ["sql", "string"],
  9: ["builtIn", "bool"],
  10: ["spec", PANEL_SPEC],
  11: ["filterable", "bool"],
  12: ["comparable", "bool"],
});

const DIMENSION = schema<Dimension>({ 1: ["name", "string"], 2: ["events", repeated("string")] });

const BROKEN_PANEL = schema<BrokenPanel>({ 1: ["file", "string"], 2: ["line", "uint32"], 3: ["message", "string"] });

export const LIST_PANELS_REQUEST = schema<ListPanelsRequest>({});
export const LIST_PANELS_RESPONSE = schema<ListPanelsResponse>({
  1: ["panels", repeated(PANEL)],
  2: ["broken", repeated(BROKEN_PANEL)],
  3: ["version", "string"],
  4: ["hasEvents", "bool"],
  5: ["dimensions", repeated(DIMENSION)],
  6: ["eventsRetentionDays", "uint32"],
  7: ["rollupRetentionDays", "uint32"],
});

const INTERVAL = schema<Interval>({ 1: ["start", TIMESTAMP], 2: ["end", TIMESTAMP] });
const FILTER = schema<Filter>({ 1: ["dimension", "string"], 2: ["values", repeated("string")] });

export const QUERY_PANEL_REQUEST = schema<QueryPanelRequest>({
  1: ["panel", "string"],
  2: ["timeRange", "int32"],
  3: ["timeZone", optional("string")],
  5: ["resultFormat", "int32"],
  6: ["interval", INTERVAL],
  8: ["filters", repeated(FILTER)],
  9: ["compare", "int32"],
});
export const QUERY_PANEL_RESPONSE = schema<QueryPanelResponse>({ 2: ["frame", FRAME] });

const PANEL_QUERY = schema<PanelQuery>({
  1: ["id", "string"],
  2: ["panel", "string"],
  3: ["timeRange", "int32"],
  4: ["timeZone", optional("string")],
  6: ["interval", INTERVAL],
  8: ["filters", repeated(FILTER)],
  9: ["compare", "int32"],
});
const QUERY_ERROR = schema<QueryError>({ 1: ["code", "int32"], 2: ["message", "string"] });
const HEARTBEAT = schema<Heartbeat>({
  1: ["serverTime", TIMESTAMP],
  2: ["panelsVersion", "string"],
  3: ["hasEvents", "bool"],
});

export const WATCH_PANELS_REQUEST = schema<WatchPanelsRequest>({
  1: ["queries", repeated(PANEL_QUERY)],
  2: ["resultFormat", "int32"],
});
export const WATCH_PANELS_RESPONSE = schema<WatchPanelsResponse>({
  1: ["id", "string"],
  2: ["panel", "string"],
  12: ["staleReason", optional("string")],
  13: ["staleSince", TIMESTAMP],
  14: ["error", QUERY_ERROR],
  15: ["heartbeat", HEARTBEAT],
  16: ["frame", oneof("value", FRAME)],
});

const EVENT = schema<Event>({
  1: ["eventName", "string"],
  2: ["timestamp", TIMESTAMP],
  3: ["sessionId", "string"],
  8: ["propertiesJson", oneof("propertiesKind", "string")],
});
const REJECTION = schema<Rejection>({ 3: ["field", "string"], 4: ["reason", "string"] });

export const SEND_EVENTS_REQUEST = schema<SendEventsRequest>({ 3: ["events", repeated(EVENT)] });
export const SEND_EVENTS_RESPONSE = schema<SendEventsResponse>({
  1: ["accepted", "uint64"],
  4: ["rejections", repeated(REJECTION)],
});
