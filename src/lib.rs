//! Millrace: real-time event analytics that a team runs itself.
//!
//! The modules, in the order in which an event travels:
//!
//! 1. `edge`: accepts connections, and enforces limits and origins before a request is read.
//! 2. [`ingest`]: gRPC and HTTP handlers decode requests and submit their events. They keep nothing.
//! 3. [`event`]: decides whether an event is valid, the same way for every handler.
//! 4. [`writer`]: admits events as columns, groups them into batches, and inserts each batch exactly once.
//! 5. [`journal`]: the append-only log on disk. An event is *acknowledged* once it is synced here.
//! 6. [`clickhouse`]: the client for ClickHouse, the schema, and repairs. [`engine`] is the embedded ClickHouse, a child
//!    process that is reached like a server.
//! 7. [`panels`]: SQL files, queried with parameters, whose results are tables and typed messages. Queries with subscribers
//!    run again when a batch has landed.
//! 8. [`dashboard`]: gRPC and HTTP handlers that return and stream the results. `web_assets` serves the page, built from
//!    web/.
//!
//! Around them: [`commands`] are the subcommands of the program, [`config`] its settings, [`server`] the one port for gRPC
//! and HTTP, [`health`] the state of everything, [`error`] the mapping of errors to gRPC and HTTP, [`telemetry`] the log,
//! `shutdown` the signals. [`proto`] has the contracts. The client for
//! producers written in Rust is the crate [`millrace_client`].

mod atomic_file;
mod blocking;
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
