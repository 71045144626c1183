//! What a panel's statement may be: one SELECT that reads the tables of the project's database, with functions whose result
//! follows from their arguments.
//!
//! A statement is allowed by what it names: what is on no list is refused. It passes three checks, one after the other:
//!
//! 1. [`tokens`]: on its tokens, before ClickHouse has seen it. Every name before a parenthesis is on the list
//!    ([`functions`]); there is one statement, without FORMAT, INTO OUTFILE and SETTINGS.
//! 2. [`ast`]: on the tree that ClickHouse's own parser makes of it (`EXPLAIN AST`, which carries nothing out). Every kind
//!    of node is known, every table is of the database.
//! 3. [`query_tree`]: on what ClickHouse's analyzer takes each name for (`EXPLAIN QUERY TREE`), whatever the way in which the
//!    statement named it.
//!
//! Aliases, quotes and comments fool none of them: the first takes names from tokens as ClickHouse's lexer cuts them, and
//! the others read every name that ClickHouse prints, so that an alias which looks like a node can only add one. See
//! docs/decisions/0005-panel-sandbox.md.

pub mod ast;
pub mod functions;
pub mod query_tree;
pub mod tokens;

/// Why a statement is no panel. It never holds more of it than names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// The thing and the way out.
    pub message: String,
    /// Where it is.
    pub location: Location,
}

/// Where in a statement something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In this line, from 1.
    Line(u32),
    /// Where this name is.
    Name(String),
    /// Nowhere in particular.
    Unknown,
}

impl Violation {
    fn new(location: Location, message: impl Into<String>) -> Self {
        Self { message: message.into(), location }
    }

    fn at_name(name: &str, message: impl Into<String>) -> Self {
        Self::new(Location::Name(name.to_owned()), message)
    }
}

/// A name as a message shows it: not too much of it.
fn abbreviate_name(name: &str) -> String {
    const MAX_CHARS: usize = 64;
    match name.char_indices().nth(MAX_CHARS) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}…", &name[..end]),
    }
}
