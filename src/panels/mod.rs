//! Panels: named SQL statements with parameters, answered from the rollups.
//!
//! A result is computed on request and reused for `PANEL_CACHE_MS`. [`live`](crate::live) computes it again for subscribers.
//!
//! - [`catalog`]: panel files (`header`, [`parameter`], [`spec`], [`template`] with its `rows`), built in or from the panels folder
//!   ([`directory`], checked by [`sandbox`]). A statement of an editor is executed like one ([`sql`]).
//! - [`query`]: validation, execution and caching of a query, over the [`buckets`] of its time [`range`] (`time_frame`,
//!   [`wall_clock`]) and those of a [`comparison`], from rows of the rollup's `levels`, with its [`filter`]s. The result is a [`table`], with a [`frame`] that says how it is drawn.
//!
//! Nothing here knows protobuf: `dashboard` converts requests and results.

pub(crate) mod buckets;
pub(crate) mod catalog;
mod check;
pub(crate) mod comparison;
pub(crate) mod directory;
pub(crate) mod filter;
pub(crate) mod frame;
mod header;
mod levels;
pub(crate) mod parameter;
pub(crate) mod query;
pub(crate) mod range;
mod rows;
pub(crate) mod sandbox;
pub(crate) mod spec;
pub(crate) mod sql;
pub(crate) mod table;
pub(crate) mod template;
mod time_frame;
pub(crate) mod wall_clock;

pub(crate) use query::{PanelError, PanelQuery, PanelResult, PanelSources, Panels, row_filters};

/// How much of a caller's text an error message repeats.
const MAX_QUOTED_CHARS: usize = 100;

/// A caller's text for an error message, at most [`MAX_QUOTED_CHARS`] long.
pub(crate) fn abbreviate(text: &str) -> String {
    truncate(text, MAX_QUOTED_CHARS)
}

/// The first `max_chars` characters of a text, and an ellipsis if it is longer.
fn truncate(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
