//! The only code that talks to ClickHouse, embedded or not: the `clickhouse` crate over HTTP.
//!
//! Statements longer than a line are .sql files in `queries/`; [`schema`] lists those that create tables.

mod client;
mod error;
pub(crate) mod promoted;
mod retention;
mod rollups;
pub(crate) mod template;

pub(crate) mod batches;
pub(crate) mod cluster;
pub(crate) mod exclusive;
pub(crate) mod lexer;
mod lz4;
pub(crate) mod people;
pub(crate) mod rebuild;
pub(crate) mod replicas;
pub(crate) mod requirements;
pub(crate) mod schema;
mod schema_lock;
pub(crate) mod shards;
pub(crate) mod upgrade;

pub(crate) use client::within;
pub use client::{ClickHouse, Endpoint, INSERT_SETTINGS};
pub use error::ClickHouseError;
pub(crate) use error::{ErrorKind, InsertFailure};
pub(crate) use retention::RetentionDays;
