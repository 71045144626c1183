//! The one way to ClickHouse, embedded or not: the `clickhouse` crate over HTTP.

mod client;
mod error;
mod retention;
mod rollups;

pub mod batches;
pub mod lexer;
pub mod rebuild;
pub mod schema;

pub use client::{ClickHouse, Endpoint};
pub use error::{ClickHouseError, ErrorKind, InsertFailure};
