//! What every connection and every request passes before a service sees it: caps, time-outs, budgets, and where a request
//! comes from.
//!
//! # Bounds
//!
//! | bound | when it is reached | who is told |
//! | --- | --- | --- |
//! | connections: `MILLRACE_MAX_CONNECTIONS`, of one address `MILLRACE_MAX_CONNECTIONS_PER_ADDRESS`, and 256 file descriptors left | the new one is closed | the log, once in 10 s |
//! | first byte, the first request's head, the preface and the first SETTINGS: 5 s | the connection is closed | nobody |
//! | no request for 60 s | GOAWAY or `Connection: close`, then the end | the client |
//! | age: `MILLRACE_MAX_CONNECTION_AGE_MS` ± 10 % | GOAWAY; StreamEvents and WatchPanels end with UNAVAILABLE once all is acknowledged; an upload may finish | the client |
//! | silent peer (HTTP/2): a ping after 30 s, its answer 20 s later | the connection is closed | nobody |
//! | bytes that the peer does not take for 30 s | the connection is closed | nobody |
//! | requests under way: twice the connections | 503, RESOURCE_EXHAUSTED | the caller |
//! | streams of a connection: 128 | HTTP/2 has the client wait | the client |
//! | header list 8 KiB (HTTP/1: the head 16 KiB) | 431 | the caller |
//! | streams that the peer resets before they are accepted: 20; that its errors reset: 128 | GOAWAY, the end | the client |
//! | HTTP/2 windows: 32 MiB for all; a connection gets a sixteenth of what is left, 64 KiB to 4 MiB | less is on its way | nobody |
//! | a body, or a message of a stream, without progress for 10 s, or below 16 KiB/s after 10 s | 408, DEADLINE_EXCEEDED | the caller |
//! | bytes of requests that are not decoded yet: 32 MiB for all | they wait 5 s, then 503, RESOURCE_EXHAUSTED with a wait | the caller |
//! | a message or body: `MILLRACE_MAX_MESSAGE_BYTES`, also while it is inflated | 413, RESOURCE_EXHAUSTED | the caller |
//! | events of a message: 500 for SendEvents and `POST /events`, 20,000 on streams; counted before they are decoded | 400, INVALID_ARGUMENT | the caller |
//! | one event: 384 KiB encoded, 256 KiB or 32,768 values of JSON | it is rejected, its neighbours are not | the caller |
//! | columns of a message: taken from `MILLRACE_MAX_BUFFER_BYTES` before the first event is decoded | streams wait, unary calls are told to come back | the caller |
//! | buffers that streams keep for messages above 64 KiB: 64 MiB for all | the stream ends once its requests are acknowledged: RESOURCE_EXHAUSTED with a wait | the caller |
//! | requests of a stream that wait for the disk: 256; acknowledgements that its client does not read: 64 | the stream is not read | the client, by flow control |
//! | rejections of a response: 1,000 and 128 KiB, on a stream 32 KiB | the rest is only counted | nobody |
//! | rejections that a stream's client has not read: 1 MiB | those of further responses are only counted | nobody |
//! | rejections on their way: 16 MiB for all | those of further responses are only counted | nobody |
//!
//! What is no setting here follows from what the protocols and the other bounds need.

pub(crate) mod body;
mod connection;
mod limits;
pub(crate) mod origin;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use http::{Extensions, Request, StatusCode};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tower::ServiceExt as _;

use crate::config::EdgeConfig;
use crate::error::{Error, ErrorCode, problem_response};
use body::{BodyBudget, ReceivedBody};
use connection::Activity;
use limits::{ConnectionLimiter, FlowControlBudget};

/// How long clients may take to end their connections at a stop. Calls end by themselves far sooner.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// The wait after `accept` failed, which it does when the process has no file descriptor left.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Cancelled when the connection of a request should end: long streams then end by themselves.
#[derive(Clone, Debug)]
struct ConnectionShutdown(CancellationToken);

/// When the connection should end that a request came by; `stop` for a request that came by none.
pub(crate) fn connection_shutdown(extensions: &Extensions, stop: &CancellationToken) -> CancellationToken {
    extensions.get::<ConnectionShutdown>().map_or_else(|| stop.clone(), |shutdown| shutdown.0.clone())
}

/// What a stream ends with whose connection should end.
pub(crate) fn connection_closing_error() -> Error {
    const RETRY_DELAY: Duration = Duration::from_millis(100);
    let message = "the connection is to end, since the server stops or the connection is old \
                   (MILLRACE_MAX_CONNECTION_AGE_MS); connect again and send what was not acknowledged";
    Error::new(ErrorCode::Unavailable { retry_after: RETRY_DELAY }, message)
}

/// What connections share.
struct EdgeState {
    router: Router,
    connections: ConnectionLimiter,
    flow_control: FlowControlBudget,
    /// Requests under way.
    requests: Arc<Semaphore>,
    budget: BodyBudget,
    max_age: Option<Duration>,
    stop: CancellationToken,
}

/// Serves until `stop`, then lets the calls that are under way end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    config: &EdgeConfig,
    stop: CancellationToken,
) {
    let max_connections = limits::connection_limit(config.max_connections);
    let max_per_address = usize::try_from(config.max_connections_per_address).unwrap_or(usize::MAX);
    let shared = Arc::new(EdgeState {
        router,
        connections: ConnectionLimiter::new(max_connections, max_per_address),
        flow_control: FlowControlBudget::default(),
        requests: Arc::new(Semaphore::new(2 * max_connections)),
        budget: BodyBudget::default(),
        max_age: (!config.max_connection_age.is_zero()).then_some(config.max_connection_age),
        stop: stop.clone(),
    });
    let tasks = TaskTracker::new();
    loop {
        let (stream, address) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let Some(permit) = shared.connections.try_acquire(address.ip()) else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let _permit = permit;
            if let Err(error) = connection::serve(stream, address, &shared).await {
                tracing::debug!(%error, %address, "a connection ended with an error");
            }
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(SHUTDOWN_GRACE, tasks.wait()).await.is_err() {
        tracing::debug!("connections that clients keep open are left to the end of the process");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Acknowledgements are small, and late ones slow the producer.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY could not be set");
                }
                return (stream, address);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// The router behind one connection.
#[derive(Clone)]
struct ConnectionService {
    router: Router,
    peer: SocketAddr,
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
            return Box::pin(async move { Ok(overloaded_response(&request)) });
        };
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(ConnectionShutdown(self.shutdown.clone()));
        parts.extensions.insert(ConnectInfo(self.peer));
        let body = ReceivedBody::new(body, &mut parts, &self.budget);
        let router = self.router.clone();
        Box::pin(async move {
            let response = router.oneshot(Request::from_parts(parts, Body::new(body))).await?;
            // The request is under way until its response has been sent.
            Ok(response.map(|body| Body::new(body::GuardedBody::new(body, (active_request, permit)))))
        })
    }
}

fn overloaded_response(request: &Request<Incoming>) -> Response {
    const MESSAGE: &str = "too many requests are under way; send the same request again later";
    if body::is_grpc(request.headers()) {
        return Status::resource_exhausted(MESSAGE).into_http();
    }
    problem_response(StatusCode::SERVICE_UNAVAILABLE, MESSAGE).into_response()
}
