//! The subcommands, one file each.

mod connection;
pub(crate) mod dead_letters;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod generate;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod properties;
pub(crate) mod query;
pub(crate) mod recover;
pub(crate) mod serve;
