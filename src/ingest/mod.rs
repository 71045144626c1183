//! The doors through which events come in. A door decodes and validates, hands the columns to the writer and passes on
//! its word; it keeps nothing. An acknowledgement means what the writer says it means.

pub mod grpc;
pub mod http;
mod ingester;
mod stream;
pub mod wire;

pub use ingester::Ingester;
