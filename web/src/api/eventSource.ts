import type { EventSource } from "../gen/millrace/v1/events_pb.ts";

const NAMES = ["unknown", "gRPC", "HTTP", "Segment", "OpenTelemetry", "Kafka"];

/** The number of a source that only a newer server has. */
export const sourceName = (source: EventSource): string => NAMES[source] ?? String(source);
