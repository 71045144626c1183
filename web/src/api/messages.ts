// The messages of the server as types, and its enums, for pages. Requests are written as `Init<Message>`.

export type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
export type * from "../gen/millrace/v1/admin_pb.ts";
export { KeyScope } from "../gen/millrace/v1/admin_pb.ts";
export type * from "../gen/millrace/v1/catalogue_pb.ts";
export { DeclaredRole, JsonType } from "../gen/millrace/v1/catalogue_pb.ts";
export type * from "../gen/millrace/v1/dashboard_pb.ts";
export { Chart, ColumnRole, PanelSize, ResultFormat } from "../gen/millrace/v1/dashboard_pb.ts";
export type * from "../gen/millrace/v1/event_pb.ts";
export type * from "../gen/millrace/v1/events_pb.ts";
export { EventSource } from "../gen/millrace/v1/events_pb.ts";
export type * from "../gen/millrace/v1/explore_pb.ts";
export {
  Aggregation,
  FunnelAttribution,
  FunnelOrder,
  RetentionBasis,
  RetentionCriterion,
  RetentionKind,
  RetentionMean,
  RetentionPeriod,
} from "../gen/millrace/v1/explore_pb.ts";
export type * from "../gen/millrace/v1/filter_pb.ts";
export { FieldOperator } from "../gen/millrace/v1/filter_pb.ts";
export type * from "../gen/millrace/v1/health_pb.ts";
export { Status } from "../gen/millrace/v1/health_pb.ts";
export type * from "../gen/millrace/v1/ingest_pb.ts";
export type * from "../gen/millrace/v1/insights_pb.ts";
export { InsightChart } from "../gen/millrace/v1/insights_pb.ts";
export type * from "../gen/millrace/v1/operations_pb.ts";
export type * from "../gen/millrace/v1/people_pb.ts";
export type * from "../gen/millrace/v1/range_pb.ts";
export { Bucket, Compare, DataSource, TimeRange } from "../gen/millrace/v1/range_pb.ts";
export type { Init } from "./codec.ts";
export { durationMs, timestampMs, toDuration, toTimestamp } from "./time.ts";
