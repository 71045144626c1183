//! The errors of panels as the [`Error`] that gRPC and HTTP share.

use std::time::Duration;

use crate::clickhouse::ErrorKind;
use crate::error::{Error, ErrorCode};
use crate::live::SubscribeError;
use crate::panels::PanelError;
use crate::panels::sql::SqlError;

/// When a client should retry after a limit, or while ClickHouse is unreachable.
const RETRY_DELAY: Duration = Duration::from_secs(1);

impl From<PanelError> for Error {
    fn from(error: PanelError) -> Self {
        let code = match &error {
            PanelError::UnknownPanel { .. } => ErrorCode::NotFound,
            PanelError::UnknownParameter { .. }
            | PanelError::InvalidValue(_)
            | PanelError::UnknownTimeZone(_)
            | PanelError::InvalidRange(_)
            | PanelError::InvalidFilter(_)
            | PanelError::NotComparable(_) => ErrorCode::Invalid,
            PanelError::OverBudget { .. } => ErrorCode::OverBudget,
            PanelError::Busy | PanelError::MemoryExhausted(_) => ErrorCode::Busy { retry_after: RETRY_DELAY },
            PanelError::InvalidHeader { .. }
            | PanelError::InvalidResult { .. }
            | PanelError::Expansion { .. } => ErrorCode::Internal,
            PanelError::ClickHouse { source, .. } => match source.kind {
                ErrorKind::Unreachable | ErrorKind::Transient => {
                    ErrorCode::Unavailable { retry_after: RETRY_DELAY }
                }
                ErrorKind::LimitExceeded => ErrorCode::TimedOut,
                ErrorKind::Permanent => ErrorCode::Internal,
            },
        };
        Self::new(code, error.to_string())
    }
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        let code = match error {
            SqlError::TooLong(_) | SqlError::Invalid { .. } => ErrorCode::Invalid,
            SqlError::Limit(_) => ErrorCode::OverBudget,
            SqlError::Busy => ErrorCode::Busy { retry_after: RETRY_DELAY },
            SqlError::ClickHouse(_) => ErrorCode::Unavailable { retry_after: RETRY_DELAY },
            SqlError::Query(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<SubscribeError> for Error {
    fn from(error: SubscribeError) -> Self {
        Self::new(ErrorCode::Busy { retry_after: RETRY_DELAY }, error.to_string())
    }
}
