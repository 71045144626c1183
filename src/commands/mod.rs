//! The subcommands, one file each.

pub mod dead_letters;
pub mod engine;
pub mod generate;
pub mod migrate;
pub mod serve;
