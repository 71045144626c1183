//! The checks of a panel's statement. It must be one SELECT that reads the tables `events` and `rollup` and calls only
//! functions whose result depends on nothing but their arguments.
//!
//! The checks are allowlists: every name that is not listed is rejected. A statement passes three of them in this order:
//!
//! 1. [`tokens`]: the text, before ClickHouse gets it. Every name before a parenthesis is on the list ([`functions`]). There
//!    is one statement, without FORMAT, INTO OUTFILE and SETTINGS.
//! 2. [`ast`]: the tree of ClickHouse's own parser (`EXPLAIN AST`, which executes nothing). All kinds of nodes are known,
//!    and all tables are in the database.
//! 3. [`query_tree`]: the names as ClickHouse's analyzer resolves them (`EXPLAIN QUERY TREE`), however the statement spells
//!    them.
//!
//! Aliases, quotes and comments cannot hide a name: the first check splits tokens like ClickHouse's lexer, and the others
//! read every name that ClickHouse prints, so an alias that looks like a node can only add a name. See
//! docs/decisions/0005-panel-sandbox.md.

pub(crate) mod ast;
pub(crate) mod functions;
pub(crate) mod query_tree;
pub(crate) mod tokens;

use functions::Denied;

/// The tables that a panel may read. Each statement runs with a row filter for them, so that it sees one project only
/// (`query.rs`). Other tables of the database, such as those of a rebuild, have rows of all projects.
pub(crate) const TABLES: [&str; 2] = ["events", "rollup"];

/// Why a statement is rejected. It is shown to viewers, and contains names of the statement but no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// What is not allowed, and what to write instead.
    pub message: String,
    /// Its position in the statement.
    pub location: Location,
}

/// A position in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A line, from 1.
    Line(u32),
    /// The first line that contains this name.
    Name(String),
    /// No position is known.
    Unknown,
}

impl Violation {
    fn new(location: Location, message: impl Into<String>) -> Self {
        Self { message: message.into(), location }
    }

    fn at_name(name: &str, message: impl Into<String>) -> Self {
        Self::new(Location::Name(name.to_owned()), message)
    }

    fn denied_function(name: &str, reason: Denied) -> Self {
        Self::at_name(name, denied_function_message(name, reason))
    }

    /// `name` may be qualified.
    fn denied_table(name: &str, database: &str) -> Self {
        let message = format!(
            "the table {} is not allowed: a panel reads the tables {} of the database {database}",
            abbreviate_name(name),
            TABLES.join(" and ")
        );
        Self::at_name(name.rsplit('.').next().unwrap_or(name), message)
    }
}

fn denied_function_message(name: &str, reason: Denied) -> String {
    format!("the function {} is not allowed in panels: it {reason}", abbreviate_name(name))
}

/// The first 64 characters of a name, for a message.
fn abbreviate_name(name: &str) -> String {
    const MAX_CHARS: usize = 64;
    match name.char_indices().nth(MAX_CHARS) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}…", &name[..end]),
    }
}
