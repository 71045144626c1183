//! Panels over gRPC and HTTP: requests become queries of [`panels`](crate::panels), results become messages.

mod error;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod messages;
