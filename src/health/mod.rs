//! The server's health. The [`HealthCollector`] checks all parts once a second, and when the engine's address changes; the
//! gRPC services and the HTTP endpoints only read its [`HealthView`].

mod collect;
mod freshness;
pub(crate) mod grpc;
pub(crate) mod http;
mod storage;

pub(crate) use collect::{HealthCollector, HealthSources, HealthView, is_writer_running};
