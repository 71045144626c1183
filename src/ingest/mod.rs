//! The services and endpoints that receive events: gRPC and `POST /events`.
//!
//! A handler decodes and validates a request, submits its columns to the [writer](crate::writer) and returns the writer's
//! acknowledgement. Handlers keep no state across requests, except the last producer id of a stream. What an acknowledgement
//! guarantees is defined by the writer.

pub mod grpc;
pub mod http;
mod ingester;
mod stream;
pub mod wire;

pub use ingester::{Ingester, MAX_SEND_EVENTS};
