//! The services and endpoints that receive events: gRPC, `POST /events`, the API of Segment's libraries,
//! and OpenTelemetry's logs. `kafka` decodes the messages of Kafka for the [source](crate::kafka).
//!
//! A handler decodes and validates a request, submits its columns to the [writer](crate::writer) and returns the writer's
//! acknowledgement. Handlers keep no state across requests, except the last producer id of a stream. What an acknowledgement
//! guarantees is defined by the writer.

mod event_json;
pub(crate) mod fuzzed;
pub(crate) mod grpc;
pub(crate) mod http;
mod idempotency;
mod ingester;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
mod object;
pub(crate) mod otlp;
pub(crate) mod rejected;
pub(crate) mod segment;
mod stream;
mod user_agent;
pub(crate) mod wire;

pub(crate) use ingester::Ingester;
pub use ingester::MAX_SEND_EVENTS;
