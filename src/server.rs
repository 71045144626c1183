//! One port for gRPC (h2c), gRPC-Web and HTTP/1.1.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::server::HealthReporter;
use tonic_web::GrpcWebLayer;
use tower::ServiceExt as _;

use crate::dashboard::{self, grpc::DashboardDoor};
use crate::health::grpc::HealthDoor;
use crate::health::{self, HealthView};
use crate::ingest::{self, Receiver, grpc::IngestDoor};
use crate::page;
use crate::panels::Panels;
use crate::proto::json::to_json;
use crate::proto::{self, v1};
use v1::dashboard_service_server::DashboardServiceServer;
use v1::health_service_server::HealthServiceServer;
use v1::ingest_service_server::IngestServiceServer;

/// What HTTP/2 may have on the way, per stream and per connection: enough that a fast producer isn't stopped by the
/// window, and far below the memory's bound.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// A connection that is silent for so long is asked for a sign of life, and closed without one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the head of an HTTP/1.1 request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long clients may take to end their connections at a stop. Calls end by themselves far sooner.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(2);
/// The wait after `accept` failed, which it does when the process has no file descriptor left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The services behind the port.
pub struct Doors {
    /// IngestService.
    pub ingest: IngestDoor,
    /// Events in JSON.
    pub receiver: Receiver,
    /// DashboardService.
    pub dashboard: DashboardDoor,
    /// Panels in JSON.
    pub panels: Panels,
    /// HealthService.
    pub health: HealthDoor,
    /// What the other health services show.
    pub view: HealthView,
    /// The largest message, in bytes.
    pub max_message_bytes: usize,
}

/// Why the port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "MILLRACE_LISTEN (--listen): {address} cannot be listened on: {source}; stop what uses it, or choose another port"
)]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Takes the port.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// All that is served, and the reporter of grpc.health.v1.Health.
pub fn router(doors: Doors) -> (Router, HealthReporter) {
    let Doors { ingest, receiver, dashboard, panels, health, view, max_message_bytes } = doors;
    let (reporter, health_v1) = tonic_health::server::health_reporter();
    let ingest_v1 = IngestServiceServer::new(ingest)
        .max_decoding_message_size(max_message_bytes)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd);
    let dashboard_v1 = DashboardServiceServer::new(dashboard)
        .max_decoding_message_size(max_message_bytes)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let grpc = Routes::new(ingest_v1)
        .add_service(dashboard_v1)
        .add_service(HealthServiceServer::new(health))
        .add_service(health_v1)
        .add_service(reflection().build_v1().expect("the descriptors were made by the build"))
        .add_service(reflection().build_v1alpha().expect("the descriptors were made by the build"))
        .prepare()
        .into_axum_router()
        .layer(axum::middleware::map_response(move |response| name_the_limit(response, max_message_bytes)))
        .layer(GrpcWebLayer::new());
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/health", get(health_json))
        .with_state(view)
        .merge(ingest::http::routes(receiver, max_message_bytes))
        .merge(page::routes())
        .nest("/api", dashboard::http::routes(panels))
        .merge(grpc);
    (router, reporter)
}

/// Serves until `stop`, then lets the calls that are under way end.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = GracefulShutdown::new();
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let service = router.clone().map_request(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        });
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended with an error");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(CONNECTIONS_GRACE, connections.shutdown()).await.is_err() {
        tracing::debug!("connections that clients keep open are left to the end of the process");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Acknowledgements are small, and late ones slow the producer.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY could not be set");
                }
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Whether events are taken.
async fn ready(State(view): State<HealthView>) -> Response {
    let health = view.now();
    let status =
        if health.status() == v1::Status::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, format!("{}\n", health.summary)).into_response()
}

/// HealthService's answer as JSON.
async fn health_json(State(view): State<HealthView>) -> Response {
    Json(to_json("Health", &view.now())).into_response()
}

/// tonic refuses a message over the limit with OUT_OF_RANGE, where the gRPC specification has RESOURCE_EXHAUSTED, and
/// does not say which setting the limit is.
async fn name_the_limit(response: Response, max_message_bytes: usize) -> Result<Response, Infallible> {
    let too_large = Status::from_header_map(response.headers())
        .is_some_and(|status| status.code() == Code::OutOfRange && status.message().starts_with(TOO_LARGE));
    if !too_large {
        return Ok(response);
    }
    let status = Status::resource_exhausted(format!(
        "the message is larger than the {max_message_bytes} bytes allowed (MILLRACE_MAX_MESSAGE_BYTES); send fewer \
         events in each request"
    ));
    Ok(status.into_http())
}

/// How tonic's message begins.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// Keeps grpc.health.v1.Health in step until `stop`.
pub async fn report_health(reporter: HealthReporter, view: HealthView, stop: CancellationToken) {
    health::grpc::report(reporter, view, stop).await;
}
