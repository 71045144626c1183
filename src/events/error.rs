//! Why a call of EventsService fails.

use std::time::Duration;

use crate::clickhouse::{ClickHouseError, ErrorKind};
use crate::error::{Error, ErrorCode};
use crate::filter::InvalidFilter;
use crate::panels::range::InvalidRange;
use crate::panels::wall_clock::UnknownTimeZone;

/// When a client should retry after a limit, or while ClickHouse is unreachable.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a call fails.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum EventsError {
    /// The filter is invalid.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// A filter over HTTP is not the JSON of an EventFilter.
    #[error("filter_json: it is not the JSON of an EventFilter: {0}; expected for example {EXAMPLE_FILTER}")]
    FilterJson(String),
    /// The range is invalid.
    #[error(transparent)]
    Range(#[from] InvalidRange),
    /// The time zone does not exist.
    #[error(transparent)]
    TimeZone(#[from] UnknownTimeZone),
    /// A number is out of bounds.
    #[error("{name}: {value} is out of range; expected {min} to {max}")]
    OutOfRange { name: &'static str, value: u32, min: u32, max: u32 },
    /// A token that is not one of this server, or of another query.
    #[error("page_token: {0}; use the next_page_token of the page before, with the same filter and range")]
    PageToken(&'static str),
    /// Too many searches at once.
    #[error("too many searches at once; retry in a second")]
    Busy,
    /// Too many tails.
    #[error("{0} calls follow events, which is the limit; retry when one has ended")]
    TooManyTails(usize),
    /// The statement exceeded a limit.
    #[error("the search reads too much ({0}); narrow the range, or filter by event_name")]
    OverBudget(String),
    /// ClickHouse did not return a result.
    #[error("the stored events cannot be read: {}", .0.viewer_message())]
    ClickHouse(ClickHouseError),
    /// ClickHouse did not respond in time.
    #[error("the stored events cannot be read: ClickHouse has not responded within {} ms", .0.as_millis())]
    NoResponse(Duration),
    /// ClickHouse's result cannot be decoded.
    #[error("the stored events cannot be read: {0}; report this as a bug")]
    InvalidResult(String),
}

const EXAMPLE_FILTER: &str =
    r#"{"field": {"field": "plan", "operator": "FIELD_OPERATOR_IS", "values": ["pro"]}}"#;

impl From<ClickHouseError> for EventsError {
    fn from(error: ClickHouseError) -> Self {
        match error.kind {
            ErrorKind::LimitExceeded => Self::OverBudget(error.viewer_message()),
            _ => Self::ClickHouse(error),
        }
    }
}

impl From<EventsError> for Error {
    fn from(error: EventsError) -> Self {
        let unavailable = ErrorCode::Unavailable { retry_after: RETRY_DELAY };
        let code = match &error {
            EventsError::Filter(_)
            | EventsError::FilterJson(_)
            | EventsError::Range(_)
            | EventsError::TimeZone(_)
            | EventsError::OutOfRange { .. }
            | EventsError::PageToken(_) => ErrorCode::Invalid,
            EventsError::Busy | EventsError::TooManyTails(_) => ErrorCode::Busy { retry_after: RETRY_DELAY },
            EventsError::OverBudget(_) => ErrorCode::Busy { retry_after: RETRY_DELAY },
            EventsError::NoResponse(_) => unavailable,
            EventsError::InvalidResult(_) => ErrorCode::Internal,
            EventsError::ClickHouse(source) => match source.kind {
                ErrorKind::Unreachable | ErrorKind::Transient => unavailable,
                ErrorKind::LimitExceeded | ErrorKind::Permanent => ErrorCode::Internal,
            },
        };
        Self::new(code, error.to_string())
    }
}
