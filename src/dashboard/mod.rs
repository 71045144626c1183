//! Panels over gRPC and HTTP: requests become queries of [`panels`](crate::panels), results become messages.

mod error;
mod frame;
pub(crate) mod grpc;
pub(crate) mod heartbeat;
pub(crate) mod http;
pub(crate) mod messages;
pub(crate) mod request;
