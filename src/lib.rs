//! Millrace: real-time event analytics that a team runs itself.
//!
//! The way of an event, and where to read it:
//!
//! 1. [`ingest`]: a door decodes a request and hands it on. It keeps nothing.
//! 2. [`event`]: one function says whether an event is valid, whichever the door.
//! 3. [`journal`]: an append-only log on disk. *Acknowledged* means synced here.
//! 4. [`writer`]: events become columns, columns become batches, batches are inserted, once each.
//! 5. [`clickhouse`]: the one way to ClickHouse, and the schema; [`engine`] is the embedded one.
//! 6. [`panels`]: named SQL files, asked with parameters, answered as tables and typed messages.
//! 7. [`dashboard`]: the doors through which panels go out; `web_assets` is the browser's side, built from web/.
//!
//! Around it: [`config`] is read once, [`server`] is the port, `edge` what every request passes first, [`health`] says how everything is, [`commands`] are the
//! program's, and [`proto`] are the contracts. The client for producers written in Rust is the crate [`millrace_client`].

pub mod clickhouse;
pub mod commands;
pub mod config;
pub mod dashboard;
mod edge;
pub mod engine;
pub mod error;
pub mod event;
pub mod health;
pub mod ingest;
pub mod journal;
pub mod panels;
pub mod proto;
pub mod server;
mod shutdown;
pub mod telemetry;
mod web_assets;
pub mod writer;
