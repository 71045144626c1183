//! SQL of editors: a statement that is checked and executed like a panel's file, without being one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::catalog::{self, BrokenPanel};
use super::check::{CheckError, check};
use super::query::{PanelError, PanelQuery, PanelResult, Panels};
use crate::clickhouse::{ClickHouse, ClickHouseError};

/// How many statements run at once. Each reads up to the limits of statements that read events.
const MAX_CONCURRENT_STATEMENTS: usize = 2;
/// How long a statement waits for others before it is rejected.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The longest statement.
const MAX_BYTES: usize = 64 << 10;
/// The name of the statement in errors of its query.
const NAME: &str = "sql";

/// Executes statements. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SqlQueries {
    panels: Panels,
    permits: Arc<Semaphore>,
}

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqlError {
    #[error("sql: the statement has {0} bytes; the maximum is {MAX_BYTES}")]
    TooLong(usize),
    /// The statement is not allowed, or ClickHouse rejects it. Line 0 is unknown.
    #[error("sql: {}{message}", .line.checked_sub(1).map_or_else(String::new, |_| format!("line {line}: ")))]
    Invalid { line: u32, message: String },
    /// ClickHouse cannot execute it now, or not within the limits.
    #[error("sql: {0}; narrow the range, or read fewer rows")]
    Limit(String),
    #[error("{MAX_CONCURRENT_STATEMENTS} SQL statements are running already; retry in a second")]
    Busy,
    #[error("the statement cannot be executed: {}", .0.viewer_message())]
    ClickHouse(ClickHouseError),
    /// The range, a filter or a parameter is invalid.
    #[error(transparent)]
    Query(PanelError),
}

impl SqlQueries {
    /// Executes statements on a connection of their own, with what the panels read.
    pub(crate) fn new(panels: &Panels, clickhouse: ClickHouse) -> Self {
        Self {
            panels: panels.for_sql(clickhouse),
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_STATEMENTS)),
        }
    }

    /// The result of a statement, which may have a panel's header. `query` has what it is computed for; its panel is ignored.
    pub(crate) async fn query(&self, text: &str, query: PanelQuery) -> Result<PanelResult, SqlError> {
        if text.len() > MAX_BYTES {
            return Err(SqlError::TooLong(text.len()));
        }
        let panel = catalog::parse_statement(NAME, text).map_err(SqlError::invalid)?;
        let query = self.panels.validate_for(&panel, PanelQuery { panel: NAME.to_owned(), ..query });
        let query = query.map_err(SqlError::Query)?;
        let permit = tokio::time::timeout(MAX_WAIT, self.permits.acquire()).await;
        let _permit = permit.map_err(|_| SqlError::Busy)?.map_err(|_| SqlError::Busy)?;
        check(&self.panels, &panel, text, &query).await.map_err(|error| match error {
            CheckError::Unavailable(error) => SqlError::ClickHouse(error),
            CheckError::Transient(BrokenPanel { message, .. }) => SqlError::Limit(message),
            CheckError::Permanent(broken) => SqlError::invalid(broken),
        })
    }
}

impl SqlError {
    fn invalid(BrokenPanel { line, message, .. }: BrokenPanel) -> Self {
        Self::Invalid { line, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_line_if_it_is_known() {
        let error = |line| SqlError::Invalid { line, message: "x".to_owned() }.to_string();
        assert_eq!((error(0), error(3)), ("sql: x".to_owned(), "sql: line 3: x".to_owned()));
    }
}
