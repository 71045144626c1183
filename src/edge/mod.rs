//! Connections and requests before a service handles them: limits, timeouts, budgets, and the check of the origin.
//!
//! # Limits
//!
//! Values that are not settings follow from the protocols and from the other limits.
//!
//! | limit | when it is reached | reported to |
//! | --- | --- | --- |
//! | connections: `MILLRACE_MAX_CONNECTIONS`, per address `MILLRACE_MAX_CONNECTIONS_PER_ADDRESS`; at most the open file limit less 256 | the new connection is closed | the log, at most once in 10 s |
//! | TLS handshake: 5 s | the connection is closed | - |
//! | preamble (HTTP/2: preface and the header of the first frame), and each HTTP/1 request header: 5 s | the connection is closed | - |
//! | no request: 60 s | GOAWAY or `Connection: close`, then the connection is closed | the client |
//! | age: `MILLRACE_MAX_CONNECTION_AGE_MS` ± 10 % | GOAWAY or `Connection: close`; StreamEvents and WatchPanels end with UNAVAILABLE once everything is acknowledged; uploads may finish | the client |
//! | no HTTP/2 frame from the peer: PING after 30 s, its acknowledgement within 20 s | the connection is closed | - |
//! | the peer reads nothing: 30 s | the connection is closed | - |
//! | active requests: twice the maximum number of connections | 429, RESOURCE_EXHAUSTED with a retry delay | the caller |
//! | HTTP/2 streams per connection: 128 | HTTP/2 makes the client wait | the client |
//! | header list: 8 KiB; HTTP/1 request line and headers: 16 KiB | 431 | the caller |
//! | streams that the peer resets before they are accepted: 20; that its errors reset: 128 | GOAWAY, then the connection is closed | the client |
//! | HTTP/2 windows: 32 MiB in total; a new connection gets a sixteenth of the rest, at least 64 KiB, at most 4 MiB | less data is in flight | - |
//! | a body, or a message of a stream: 10 s without a byte, or less than 16 KiB/s after 10 s | 408, DEADLINE_EXCEEDED | the caller |
//! | request bytes that are not decoded yet: 32 MiB in total | the body waits 5 s, then 503, RESOURCE_EXHAUSTED with a retry delay | the caller |
//! | a message or body, compressed or decompressed: `MILLRACE_MAX_MESSAGE_BYTES`; a call of Segment's API 32 KiB, a batch 500 KiB | 413, RESOURCE_EXHAUSTED | the caller |
//! | window of a zstd body over HTTP: 8 MiB | 400 | the caller |
//! | events per message: 500 for SendEvents and `POST /events`, 2,500 for Segment's batches, 20,000 on streams and for OTLP; counted before they are decoded | 400, INVALID_ARGUMENT | the caller |
//! | one event: 384 KiB encoded; in JSON 256 KiB or 32,768 values | the event is rejected, others in the message are not | the caller |
//! | columns of a message: reserved from `MILLRACE_MAX_BUFFER_BYTES` before the first event is decoded | streams wait; unary calls are rejected with a retry delay | the caller |
//! | buffers that streams retain for messages above 64 KiB: 64 MiB in total | the stream ends with RESOURCE_EXHAUSTED and a retry delay, once its requests are acknowledged | the caller |
//! | requests of a stream that wait for the disk: 256; acknowledgements that its client has not read: 64 | the stream is not read | the client, by flow control |
//! | rejections in a response: 1,000 and 128 KiB, on a stream 32 KiB | further ones are only counted | - |
//! | rejections that a stream's client has not read: 1 MiB | those of further responses are only counted | - |
//! | rejections that are being sent: 16 MiB in total | those of further responses are only counted | - |

pub(crate) mod body;
mod connection;
pub(crate) mod encoding;
mod limits;
pub(crate) mod origin;
pub(crate) mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{Extensions, HeaderValue, Request};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tower::ServiceExt as _;

use crate::config::EdgeConfig;
use crate::error::{Error, ErrorCode};
use body::{BodyBudget, ReceivedBody};
use connection::Activity;
use limits::{ConnectionLimiter, FlowControlBudget};
use tls::{Tls, TlsSession, TlsWatcher};

/// How long [`serve`] waits at shutdown for clients to close their connections. Calls usually end much earlier.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// Delay after a failed `accept`, for example without a free file descriptor.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Browsers that were here over TLS come back over TLS, for a year.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Cancelled when a connection is to be closed, so that its long-lived streams end.
#[derive(Clone, Debug)]
struct ConnectionShutdown(CancellationToken);

/// The shutdown token of a request's connection; `stop` for a request without one, as in tests.
pub(crate) fn connection_shutdown(extensions: &Extensions, stop: &CancellationToken) -> CancellationToken {
    extensions.get::<ConnectionShutdown>().map_or_else(|| stop.clone(), |shutdown| shutdown.0.clone())
}

/// The error that ends a stream when its connection is to be closed.
pub(crate) fn connection_closing_error() -> Error {
    const RETRY_DELAY: Duration = Duration::from_millis(100);
    let message = "the connection is closing, because the server is stopping or the connection has reached its maximum \
                   age (MILLRACE_MAX_CONNECTION_AGE_MS); reconnect and resend what was not acknowledged";
    Error::new(ErrorCode::Unavailable { retry_after: RETRY_DELAY }, message)
}

/// The tasks of all connections, and of the streams of HTTP/2 connections.
///
/// Owned by the caller of [`crate::server::serve`]: calls that are still active when it returns may wait for parts that
/// stop later, so their connections are closed last.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionTasks {
    tasks: TaskTracker,
    abort: CancellationToken,
    counts: Arc<ConnectionCounts>,
}

/// Connections since the start of the server.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounts {
    pub(crate) accepted: AtomicU64,
    /// Closed at once, because of a limit.
    pub(crate) rejected: AtomicU64,
    pub(crate) closed: AtomicU64,
}

impl ConnectionTasks {
    pub(crate) fn counts(&self) -> &ConnectionCounts {
        &self.counts
    }

    /// Closes the connections that are still open, and joins all tasks. Only after [`crate::server::serve`] has returned.
    pub(crate) async fn close(self) {
        self.tasks.close();
        self.abort.cancel();
        self.tasks.wait().await;
    }
}

/// State that all connections share.
struct EdgeState {
    router: Router,
    /// `None` for plain connections.
    tls: Option<Tls>,
    connections: ConnectionLimiter,
    flow_control: FlowControlBudget,
    /// One permit per active request.
    requests: Arc<Semaphore>,
    budget: BodyBudget,
    /// `None` for unlimited.
    max_age: Option<Duration>,
    connection_tasks: ConnectionTasks,
    stop: CancellationToken,
}

/// Accepts connections until `stop`, then waits up to [`SHUTDOWN_GRACE`] for active calls to end. With `tls`, they are
/// encrypted, and certificates are replaced when their files are.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    config: &EdgeConfig,
    tls: Option<(Tls, TlsWatcher)>,
    connection_tasks: ConnectionTasks,
    stop: CancellationToken,
) {
    let (tls, watcher) = tls.unzip();
    let follow_files = async {
        if let Some(watcher) = watcher {
            watcher.run(stop.clone()).await;
        }
    };
    tokio::join!(
        follow_files,
        serve_connections(listener, router, config, tls, connection_tasks, stop.clone())
    );
}

async fn serve_connections(
    listener: TcpListener,
    router: Router,
    config: &EdgeConfig,
    tls: Option<Tls>,
    connection_tasks: ConnectionTasks,
    stop: CancellationToken,
) {
    let max_connections = limits::connection_limit(config.max_connections);
    let max_per_address = usize::try_from(config.max_connections_per_address).unwrap_or(usize::MAX);
    let edge = Arc::new(EdgeState {
        router,
        tls,
        connections: ConnectionLimiter::new(max_connections, max_per_address),
        flow_control: FlowControlBudget::default(),
        requests: Arc::new(Semaphore::new(2 * max_connections)),
        budget: BodyBudget::default(),
        max_age: (!config.max_connection_age.is_zero()).then_some(config.max_connection_age),
        connection_tasks: connection_tasks.clone(),
        stop: stop.clone(),
    });
    loop {
        let (stream, address) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let Some(permit) = edge.connections.try_acquire(address.ip()) else {
            connection_tasks.counts.rejected.fetch_add(1, Relaxed);
            continue;
        };
        connection_tasks.counts.accepted.fetch_add(1, Relaxed);
        let edge = Arc::clone(&edge);
        connection_tasks.tasks.spawn(async move {
            let _permit = permit;
            let abort = &edge.connection_tasks.abort;
            let connection = connection::serve(stream, address, &edge);
            if let Some(Err(error)) = abort.run_until_cancelled(connection).await {
                tracing::debug!(%error, %address, "connection failed");
            }
            edge.connection_tasks.counts.closed.fetch_add(1, Relaxed);
        });
    }
    drop(listener);
    connection_tasks.tasks.close();
    if tokio::time::timeout(SHUTDOWN_GRACE, connection_tasks.tasks.wait()).await.is_err() {
        tracing::debug!(
            tasks = connection_tasks.tasks.len(),
            "connections are still open; they are closed when everything else has stopped"
        );
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Acknowledgements are small: Nagle's algorithm would delay them, and with them the producer.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                return (stream, address);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// hyper's service for one connection: limits around the router.
#[derive(Clone)]
struct ConnectionService {
    router: Router,
    peer: SocketAddr,
    tls: Option<TlsSession>,
    activity: Arc<Activity>,
    requests: Arc<Semaphore>,
    budget: BodyBudget,
    shutdown: CancellationToken,
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let active_request = self.activity.begin_request();
        let Ok(permit) = Arc::clone(&self.requests).try_acquire_owned() else {
            return Box::pin(async move { Ok(overloaded_response(request.headers())) });
        };
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(ConnectionShutdown(self.shutdown.clone()));
        parts.extensions.insert(ConnectInfo(self.peer));
        let is_tls = self.tls.is_some();
        if let Some(tls) = &self.tls {
            parts.extensions.insert(tls.clone());
        }
        let body = ReceivedBody::new(body, &mut parts, &self.budget);
        let router = self.router.clone();
        Box::pin(async move {
            let mut response = router.oneshot(Request::from_parts(parts, Body::new(body))).await?;
            if is_tls {
                response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HSTS);
            }
            // The request counts as active until its response has been sent.
            Ok(response.map(|body| Body::new(body::GuardedBody::new(body, (active_request, permit)))))
        })
    }
}

fn overloaded_response(headers: &http::HeaderMap) -> Response {
    // Without the delay, a client takes RESOURCE_EXHAUSTED for a request that can never succeed.
    let error = Error::new(
        ErrorCode::Busy { retry_after: body::RETRY_DELAY },
        "too many active requests; retry after the delay",
    );
    match body::is_grpc(headers) {
        true => Status::from(error).into_http(),
        false => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tonic::service::Routes;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;

    #[test]
    fn beyond_the_limit_of_active_requests_the_retry_delay_is_named() {
        let http = overloaded_response(&http::HeaderMap::new());
        assert_eq!(
            (http.status(), &http.headers()["retry-after"]),
            (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap())
        );
        let headers =
            [(http::header::CONTENT_TYPE, "application/grpc".parse().unwrap())].into_iter().collect();
        let status = Status::from_header_map(overloaded_response(&headers).headers()).unwrap();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        let retry_delay =
            tonic_types::StatusExt::get_details_retry_info(&status).and_then(|info| info.retry_delay);
        assert_eq!(retry_delay, Some(body::RETRY_DELAY));
    }

    #[tokio::test]
    async fn connections_with_active_calls_are_closed_and_joined_after_the_grace_period() {
        let (_reporter, health) = tonic_health::server::health_reporter();
        let router = Routes::new(health).prepare().into_axum_router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tasks, stop) = (ConnectionTasks::default(), CancellationToken::new());
        let server = tokio::spawn({
            let (tasks, stop) = (tasks.clone(), stop.clone());
            let config = EdgeConfig {
                max_connections: 10,
                max_connections_per_address: 10,
                max_connection_age: Duration::ZERO,
                allowed_hosts: String::new(),
                allowed_origins: String::new(),
                base_path: "/".parse().unwrap(),
                tls: Default::default(),
                trusted_header: String::new(),
                trusted_proxies: String::new(),
                people_file: String::new(),
            };
            async move { serve(listener, router, &config, None, tasks, stop).await }
        });
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = HealthClient::new(endpoint.connect().await.unwrap());
        let mut statuses = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        statuses.message().await.unwrap().unwrap();

        stop.cancel();
        server.await.unwrap();
        assert_eq!(tasks.tasks.len(), 2, "the connection and its stream");
        tasks.close().await;
        statuses.message().await.unwrap_err();
    }
}
