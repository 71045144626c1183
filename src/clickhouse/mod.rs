//! The only code that talks to ClickHouse, embedded or not: the `clickhouse` crate over HTTP.
//!
//! Statements longer than a line are .sql files in `queries/`; [`schema`] lists those that create tables and views.

mod client;
mod error;
mod retention;
mod rollups;
mod template;

pub mod batches;
pub mod lexer;
pub mod rebuild;
pub mod schema;

pub use client::{ClickHouse, Endpoint};
pub use error::{ClickHouseError, ErrorKind, InsertFailure};
