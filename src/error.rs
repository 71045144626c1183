//! The few kinds of errors that callers can tell apart, and their mappings to gRPC and to HTTP.
//!
//! Each part has its own error type with the words; this module only says which kind it is. The kinds are few on purpose:
//! a caller either mends the request, waits and tries again, or asks the operator.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is wrong; sending it again is useless.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// The request does not fit to what was sent before.
    OutOfOrder,
    /// A bound is reached; the same request may be sent again after a while.
    Busy {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Something that the server stands on does not answer; the same request may be sent again after a while.
    Unavailable {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The call took longer than it may.
    TimedOut,
    /// A defect of the server.
    Internal,
}

/// An error on its way to a caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the caller can do.
    pub code: ErrorCode,
    /// The thing, the value and the way out.
    pub message: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A request that is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }
}

/// The one mapping to gRPC. Waits are told in `google.rpc.RetryInfo`.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (grpc_code, retry_after) = match error.code {
            ErrorCode::Invalid => (Code::InvalidArgument, None),
            ErrorCode::NotFound => (Code::NotFound, None),
            ErrorCode::OutOfOrder => (Code::FailedPrecondition, None),
            ErrorCode::Busy { retry_after } => (Code::ResourceExhausted, Some(retry_after)),
            ErrorCode::Unavailable { retry_after } => (Code::Unavailable, Some(retry_after)),
            ErrorCode::TimedOut => (Code::DeadlineExceeded, None),
            ErrorCode::Internal => (Code::Internal, None),
        };
        match retry_after {
            Some(delay) => Status::with_error_details(
                grpc_code,
                error.message,
                ErrorDetails::with_retry_info(Some(delay)),
            ),
            None => Status::new(grpc_code, error.message),
        }
    }
}

/// The one mapping to HTTP: a problem of RFC 9457. Waits are told in `Retry-After`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, retry_after) = match self.code {
            ErrorCode::Invalid => (StatusCode::BAD_REQUEST, None),
            ErrorCode::NotFound => (StatusCode::NOT_FOUND, None),
            ErrorCode::OutOfOrder => (StatusCode::CONFLICT, None),
            ErrorCode::Busy { retry_after } => (StatusCode::TOO_MANY_REQUESTS, Some(retry_after)),
            ErrorCode::Unavailable { retry_after } => (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after)),
            ErrorCode::TimedOut => (StatusCode::GATEWAY_TIMEOUT, None),
            ErrorCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        let mut response = problem_response(status, &self.message);
        if let Some(delay) = retry_after {
            // Whole seconds, rounded up.
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(delay.as_millis().div_ceil(1_000) as u64));
        }
        response
    }
}

/// A problem of RFC 9457.
pub(crate) fn problem_response(status: StatusCode, detail: &str) -> Response {
    let problem = serde_json::json!({
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = (status, problem.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_error_carries_the_retry_delay() {
        let delay = Duration::from_millis(250);
        let status = Status::from(Error::new(ErrorCode::Busy { retry_after: delay }, "full"));
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "full"));
        let details = status.get_error_details();
        assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(delay));
    }
}
