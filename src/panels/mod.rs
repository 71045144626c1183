//! Panels: named SQL files, asked with parameters, answered as tables and as typed messages.
//!
//! An answer is computed from the rollups when it is asked for, and is at most `PANEL_CACHE_MS` old. Who watches gets the
//! next answer when a batch has landed, at most every `MILLRACE_WATCH_MIN_INTERVAL_MS`; however many watch, each question
//! is computed once.
//!
//! A panel comes with Millrace (`catalog.rs`) or lies in the folder (`directory.rs`); both are asked in the same way
//! (`query.rs`), over the buckets of the range (`range.rs`), and read as a table (`table.rs`) or its message
//! (`messages.rs`). `subscriptions.rs` is the watching.

pub mod catalog;
pub mod directory;
pub mod messages;
pub mod query;
pub mod range;
pub mod sandbox;
pub mod subscriptions;
pub mod table;

pub use query::{PanelError, PanelQuery, PanelResult, Panels};
