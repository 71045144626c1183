//! `GET /metrics`: on the server's port for admin keys, and on a listener of its own without a key.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Metrics, text};
use crate::access::{HttpRoutes, Requirement};
use crate::config::EdgeConfig;
use crate::edge::{self, ConnectionTasks};

const PATH: &str = "/metrics";
/// Connections to the own listener: a few scrapers.
const MAX_CONNECTIONS: u64 = 64;

/// Why the metrics have no listener.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetricsListenError {
    #[error(
        "MILLRACE_METRICS_LISTEN (--metrics-listen): {0} is reachable from other machines, but there are no keys: make the \
         first one with `millrace keys create --scope admin`, or listen on 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    #[error(
        "MILLRACE_METRICS_LISTEN (--metrics-listen): cannot listen on {address}: {source}; stop the process that uses it, or \
         choose another port"
    )]
    Bind { address: SocketAddr, source: std::io::Error },
}

/// Adds the route for admin keys.
pub(crate) fn add_routes(routes: HttpRoutes, metrics: Metrics) -> HttpRoutes {
    routes.route(PATH, Requirement::Admin, handler(metrics))
}

/// Binds the own listener. Nobody needs a key there, so `may_be_public` says whether other machines may reach it.
pub(crate) async fn listen(
    address: SocketAddr,
    may_be_public: bool,
) -> Result<TcpListener, MetricsListenError> {
    if !address.ip().is_loopback() && !may_be_public {
        return Err(MetricsListenError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| MetricsListenError::Bind { address, source })
}

/// Serves the own listener until `stop`. The caller then closes `connection_tasks`.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    edge: EdgeConfig,
    connection_tasks: ConnectionTasks,
    stop: CancellationToken,
) {
    let max_connections = MAX_CONNECTIONS.min(edge.max_connections);
    let edge = EdgeConfig { max_connections, max_connections_per_address: max_connections, ..edge };
    let router = Router::new().route(PATH, handler(metrics));
    edge::serve(listener, router, &edge, None, connection_tasks, stop).await;
}

fn handler(metrics: Metrics) -> MethodRouter<(), std::convert::Infallible> {
    let respond = async |State(metrics): State<Metrics>| {
        let headers = [(CONTENT_TYPE, text::CONTENT_TYPE), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        (headers, metrics.encode()).into_response()
    };
    get(respond).with_state(metrics)
}
