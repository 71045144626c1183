//! Panels: named SQL files, asked with parameters, answered as tables and as typed messages.
//!
//! An answer is computed when it is asked for, from the rollups; it is at most `PANEL_CACHE_MS` old.

pub mod catalog;
pub mod query;
pub mod range;
pub mod table;
pub mod typed;

pub use query::{Answer, Ask, PanelError, Panels};
