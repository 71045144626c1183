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
pub enum Kind {
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
    pub kind: Kind,
    /// The thing, the value and the way out.
    pub message: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A request that is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }
}

/// The one mapping to gRPC. Waits are told in `google.rpc.RetryInfo`.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, retry_after) = match error.kind {
            Kind::Invalid => (Code::InvalidArgument, None),
            Kind::NotFound => (Code::NotFound, None),
            Kind::OutOfOrder => (Code::FailedPrecondition, None),
            Kind::Busy { retry_after } => (Code::ResourceExhausted, Some(retry_after)),
            Kind::Unavailable { retry_after } => (Code::Unavailable, Some(retry_after)),
            Kind::TimedOut => (Code::DeadlineExceeded, None),
            Kind::Internal => (Code::Internal, None),
        };
        match retry_after {
            Some(wait) => {
                Status::with_error_details(code, error.message, ErrorDetails::with_retry_info(Some(wait)))
            }
            None => Status::new(code, error.message),
        }
    }
}

/// The one mapping to HTTP: a problem of RFC 9457. Waits are told in `Retry-After`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, retry_after) = match self.kind {
            Kind::Invalid => (StatusCode::BAD_REQUEST, None),
            Kind::NotFound => (StatusCode::NOT_FOUND, None),
            Kind::OutOfOrder => (StatusCode::CONFLICT, None),
            Kind::Busy { retry_after } => (StatusCode::TOO_MANY_REQUESTS, Some(retry_after)),
            Kind::Unavailable { retry_after } => (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after)),
            Kind::TimedOut => (StatusCode::GATEWAY_TIMEOUT, None),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        let mut response = problem(status, &self.message);
        if let Some(wait) = retry_after {
            // Whole seconds, rounded up.
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1_000) as u64));
        }
        response
    }
}

/// A problem of RFC 9457.
pub(crate) fn problem(status: StatusCode, detail: &str) -> Response {
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
    fn a_busy_server_says_how_long_to_wait() {
        let wait = Duration::from_millis(250);
        let status = Status::from(Error::new(Kind::Busy { retry_after: wait }, "full"));
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "full"));
        let details = status.get_error_details();
        assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(wait));
    }
}
