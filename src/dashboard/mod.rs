//! The doors through which panels go out.

pub mod grpc;
pub mod http;
