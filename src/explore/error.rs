//! Why a query has no result.

use std::time::Duration;

use super::formula::InvalidFormula;
use crate::clickhouse::{ClickHouseError, ErrorKind};
use crate::error::{Error, ErrorCode};
use crate::filter::InvalidFilter;
use crate::filter::field::InvalidField;
use crate::panels::range::InvalidRange;
use crate::panels::wall_clock::UnknownTimeZone;

/// Why a query has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ExploreError {
    /// A part of the query has no meaning. The text names it.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    #[error(transparent)]
    Formula(#[from] InvalidFormula),
    #[error(transparent)]
    Range(#[from] InvalidRange),
    #[error(transparent)]
    TimeZone(#[from] UnknownTimeZone),
    /// A field of a breakdown, of a property or of a group.
    #[error("{name}: {source}")]
    Field { name: &'static str, source: InvalidField },
    /// The statement would read more than the budget.
    #[error(
        "the query would read {rows} million rows, and the budget is {budget} million (MILLRACE_EXPLORE_MAX_ROWS); {ADVICE}"
    )]
    TooManyRows { rows: u64, budget: u64 },
    /// The statement exceeded a limit.
    #[error("the query exceeds its budget ({0}); {ADVICE}")]
    OverBudget(String),
    /// As many queries run as are allowed.
    #[error("{running} queries run {whose} already, which is the limit ({setting}); retry in a second")]
    Busy { running: usize, whose: &'static str, setting: &'static str },
    /// ClickHouse did not return a result.
    #[error("the query cannot be computed: {}", .0.viewer_message())]
    ClickHouse(ClickHouseError),
    /// ClickHouse's result cannot be read.
    #[error("the query's result is invalid: {0}; report this as a bug")]
    InvalidResult(String),
}

/// What makes a query cheaper.
const ADVICE: &str = "narrow the range, name the events, or filter by a declared property";

/// After this a place for a query is likely to be free.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl ExploreError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// Whether the query itself is at fault: it fails again unless it is changed.
    pub(crate) fn is_invalid_query(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_)
                | Self::Filter(_)
                | Self::Formula(_)
                | Self::Range(_)
                | Self::TimeZone(_)
                | Self::Field { .. }
        )
    }
}

impl From<ClickHouseError> for ExploreError {
    fn from(error: ClickHouseError) -> Self {
        match error.kind {
            ErrorKind::LimitExceeded => Self::OverBudget(error.viewer_message()),
            _ => Self::ClickHouse(error),
        }
    }
}

impl From<ExploreError> for Error {
    fn from(error: ExploreError) -> Self {
        let code = match &error {
            error if error.is_invalid_query() => ErrorCode::Invalid,
            ExploreError::TooManyRows { .. } | ExploreError::OverBudget(_) => ErrorCode::OverBudget,
            ExploreError::Busy { .. } => ErrorCode::Busy { retry_after: RETRY_AFTER },
            ExploreError::ClickHouse(source) if source.kind == ErrorKind::Permanent => ErrorCode::Internal,
            ExploreError::ClickHouse(_) => ErrorCode::Unavailable { retry_after: RETRY_AFTER },
            _ => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}
