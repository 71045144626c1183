//! Panels over gRPC and HTTP: requests become queries of [`panels`](crate::panels), results become messages.

mod error;
pub mod grpc;
pub mod http;
pub mod messages;
