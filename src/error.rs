//! The error codes that callers can distinguish, and their mappings to gRPC and HTTP.
//!
//! Each module has its own error type with the message text, and maps it to one of these codes. There are few codes because
//! a caller has few options: fix the request, retry with a delay, or contact the operator.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is invalid. A retry fails again.
    Invalid,
    /// The caller presents no valid key.
    Unauthenticated,
    /// The caller's key does not allow the call.
    Forbidden,
    /// The named resource does not exist.
    NotFound,
    /// The sequence of the request contradicts earlier requests.
    OutOfOrder,
    /// The resource has changed since the version that the request names.
    Conflict,
    /// The request has to name the version of the resource that it changes.
    VersionRequired,
    /// A limit is reached. The same request may succeed later.
    Busy {
        /// Delay before a retry.
        retry_after: Duration,
    },
    /// The request would cost more than is allowed. A retry fails again.
    OverBudget,
    /// A dependency of the server, such as ClickHouse, is unavailable. The same request may succeed later.
    Unavailable {
        /// Delay before a retry.
        retry_after: Duration,
    },
    /// The call has exceeded its deadline.
    TimedOut,
    /// A bug in the server.
    Internal,
}

/// An error that is returned to a caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Tells programs how to react.
    pub code: ErrorCode,
    /// For people: names the thing, the value and the way out.
    pub message: String,
}

impl Error {
    /// An error with any code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An [`ErrorCode::Invalid`] error.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }
}

/// The only mapping to gRPC. Retry delays are in `google.rpc.RetryInfo`.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (grpc_code, retry_after) = match error.code {
            ErrorCode::Invalid => (Code::InvalidArgument, None),
            ErrorCode::Unauthenticated => (Code::Unauthenticated, None),
            ErrorCode::Forbidden => (Code::PermissionDenied, None),
            ErrorCode::NotFound => (Code::NotFound, None),
            ErrorCode::OutOfOrder | ErrorCode::VersionRequired => (Code::FailedPrecondition, None),
            ErrorCode::Conflict => (Code::Aborted, None),
            ErrorCode::Busy { retry_after } => (Code::ResourceExhausted, Some(retry_after)),
            ErrorCode::OverBudget => (Code::ResourceExhausted, None),
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

/// The only mapping to HTTP: problem details (RFC 9457). Retry delays are in `Retry-After`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, retry_after) = match self.code {
            ErrorCode::Invalid => (StatusCode::BAD_REQUEST, None),
            ErrorCode::Unauthenticated => (StatusCode::UNAUTHORIZED, None),
            ErrorCode::Forbidden => (StatusCode::FORBIDDEN, None),
            ErrorCode::NotFound => (StatusCode::NOT_FOUND, None),
            ErrorCode::OutOfOrder => (StatusCode::CONFLICT, None),
            ErrorCode::Conflict => (StatusCode::PRECONDITION_FAILED, None),
            ErrorCode::VersionRequired => (StatusCode::PRECONDITION_REQUIRED, None),
            ErrorCode::Busy { retry_after } => (StatusCode::TOO_MANY_REQUESTS, Some(retry_after)),
            ErrorCode::OverBudget => (StatusCode::UNPROCESSABLE_ENTITY, None),
            ErrorCode::Unavailable { retry_after } => (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after)),
            ErrorCode::TimedOut => (StatusCode::GATEWAY_TIMEOUT, None),
            ErrorCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        let mut response = problem_response(status, &self.message);
        if let Some(delay) = retry_after {
            // Retry-After has whole seconds. Rounded up, so that a client is not too early.
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(delay.as_millis().div_ceil(1_000) as u64));
        }
        response
    }
}

/// A response with problem details (RFC 9457).
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
