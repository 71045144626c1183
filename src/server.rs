//! One port for gRPC (h2c), gRPC-Web and HTTP/1.1.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::server::HealthReporter;
use tonic_web::GrpcWebLayer;
use tower::ServiceExt as _;

use crate::access::admin::AdminHandler;
use crate::access::oidc::Oidc;
use crate::access::{AccessControl, HttpRoutes, Requirement, layer, rpcs, session};
use crate::catalogue::{self, grpc::CatalogueHandler, service::CatalogueService};
use crate::config::{BasePath, EdgeConfig};
use crate::dashboard::{self, grpc::DashboardHandler, heartbeat::DashboardState};
pub(crate) use crate::edge::ConnectionTasks;
use crate::edge::{
    self,
    origin::{OriginError, OriginPolicy},
    tls::{Tls, TlsWatcher},
};
use crate::error::problem_response;
use crate::events::{self, grpc::EventsHandler};
use crate::explore::{self, Explore, grpc::ExploreHandler};
use crate::health::grpc::HealthHandler;
use crate::health::{self, HealthView};
use crate::ingest::{self, Ingester, grpc::IngestHandler, otlp::LogsHandler};
use crate::insights::{self, Insights, grpc::InsightHandler};
use crate::metrics::{self, Metrics};
use crate::openapi;
use crate::operations::OperationsHandler;
use crate::panels::Panels;
use crate::panels::sql::SqlQueries;
use crate::people::{self, grpc::PeopleHandler, service::PeopleService};
use crate::proto::otlp::collector::logs::v1::logs_service_server::LogsServiceServer;
use crate::proto::v1::ingest_service_server::IngestServiceServer;
use crate::proto::{self, v1};
use crate::traces;
use crate::web_assets::Page;
use v1::admin_service_server::AdminServiceServer;
use v1::catalogue_service_server::CatalogueServiceServer;
use v1::dashboard_service_server::DashboardServiceServer;
use v1::events_service_server::EventsServiceServer;
use v1::explore_service_server::ExploreServiceServer;
use v1::health_service_server::HealthServiceServer;
use v1::insight_service_server::InsightServiceServer;
use v1::operations_service_server::OperationsServiceServer;
use v1::people_service_server::PeopleServiceServer;

/// The handlers of all services, and the settings of the router.
pub(crate) struct Handlers {
    /// IngestService.
    pub ingest: IngestHandler,
    /// `POST /events` and `/v1`.
    pub ingester: Ingester,
    /// DashboardService.
    pub dashboard: DashboardHandler,
    /// `/api/panels`.
    pub panels: Panels,
    /// `/api/query/sql`.
    pub sql: SqlQueries,
    /// ExploreService and `/api/query`.
    pub explore: Explore,
    /// InsightService, `/api/insights` and `/api/dashboards`.
    pub insights: Insights,
    /// `/api/panels`.
    pub dashboard_state: watch::Receiver<DashboardState>,
    /// EventsService and `/api/events`.
    pub events: EventsHandler,
    /// PeopleService.
    pub people_v1: PeopleHandler,
    /// `/api/people`.
    pub people: PeopleService,
    /// CatalogueService and `/api/catalogue`.
    pub catalogue: CatalogueService,
    /// HealthService.
    pub health: HealthHandler,
    /// `/health`, `/readyz` and grpc.health.v1.Health.
    pub view: HealthView,
    /// `MILLRACE_MAX_MESSAGE_BYTES`: the limit of gRPC messages and HTTP bodies, after decompression.
    pub max_message_bytes: usize,
    /// AdminService.
    pub admin: AdminHandler,
    /// Implements OperationsService.
    pub operations: OperationsHandler,
    /// `/metrics`.
    pub metrics: Metrics,
    /// Where people log in; `None` without one.
    pub oidc: Option<Arc<Oidc>>,
    /// Checks every request.
    pub access: AccessControl,
    /// Allowed hosts and origins.
    pub edge: EdgeConfig,
}

/// Why the server cannot listen on its address.
#[derive(Debug, thiserror::Error)]
#[error(
    "MILLRACE_LISTEN (--listen): cannot listen on {address}: {source}; stop the process that uses it, or choose another \
     port"
)]
pub(crate) struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Binds the address of `MILLRACE_LISTEN`.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// Builds the router of all services, and the reporter of grpc.health.v1.Health for [`report_health`].
pub(crate) fn router(handlers: Handlers) -> (Router, HealthReporter) {
    let Handlers {
        ingest,
        ingester,
        dashboard,
        panels,
        sql,
        explore,
        people_v1,
        people,
        insights,
        dashboard_state,
        events,
        catalogue,
        health,
        view,
        max_message_bytes,
        admin,
        operations,
        metrics,
        oidc,
        access,
        edge,
    } = handlers;
    let (reporter, health_v1) = tonic_health::server::health_reporter();
    let ingest_v1 = IngestServiceServer::new(ingest)
        .max_decoding_message_size(max_message_bytes)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd);
    let logs_v1 = LogsServiceServer::new(LogsHandler::new(ingester.clone()))
        .max_decoding_message_size(max_message_bytes)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd);
    let dashboard_v1 = DashboardServiceServer::new(dashboard)
        .max_decoding_message_size(max_message_bytes)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let explore_v1 = ExploreServiceServer::new(ExploreHandler::new(explore.clone()))
        .max_decoding_message_size(max_message_bytes)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let insights_v1 = InsightServiceServer::new(InsightHandler::new(insights.clone()))
        .max_decoding_message_size(max_message_bytes)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let grpc = Routes::new(ingest_v1)
        .add_service(logs_v1)
        .add_service(dashboard_v1)
        .add_service(explore_v1)
        .add_service(
            EventsServiceServer::new(events.clone())
                .max_decoding_message_size(max_message_bytes)
                .accept_compressed(Gzip)
                .send_compressed(Gzip),
        )
        .add_service(PeopleServiceServer::new(people_v1).max_decoding_message_size(max_message_bytes))
        .add_service(insights_v1)
        .add_service(
            CatalogueServiceServer::new(CatalogueHandler::new(catalogue.clone()))
                .max_decoding_message_size(max_message_bytes)
                .accept_compressed(Gzip)
                .send_compressed(Gzip),
        )
        .add_service(HealthServiceServer::new(health))
        .add_service(AdminServiceServer::new(admin).max_decoding_message_size(max_message_bytes))
        .add_service(OperationsServiceServer::new(operations).max_decoding_message_size(max_message_bytes))
        .add_service(health_v1)
        .add_service(reflection().build_v1().expect("build.rs writes valid descriptors"))
        .add_service(reflection().build_v1alpha().expect("build.rs writes valid descriptors"))
        .prepare()
        .into_axum_router()
        .layer(axum::middleware::from_fn_with_state(access.clone(), layer::check_rpc))
        .layer(axum::middleware::map_response(move |response| {
            explain_message_limit(response, max_message_bytes)
        }))
        .layer(GrpcWebLayer::new());
    let page = Page::new(&edge.base_path);
    let unknown = UnknownPaths { page: page.clone(), grpc: grpc.clone() };
    let routes = HttpRoutes::new(access.clone()).route("/livez", Requirement::Open, get(async || "ok\n"));
    let routes = health::http::add_routes(routes, view);
    let routes = metrics::add_routes(routes, metrics);
    let routes = ingest::http::add_routes(routes, ingester.clone(), max_message_bytes);
    let routes = ingest::segment::add_routes(routes, ingester.clone(), max_message_bytes);
    let routes = ingest::otlp::add_routes(routes, ingester, max_message_bytes);
    let routes = explore::http::add_routes(routes, &explore, max_message_bytes);
    let routes = people::http::add_routes(routes, people);
    let routes = insights::http::add_routes(routes, &insights, max_message_bytes);
    let routes = catalogue::http::add_routes(routes, catalogue);
    let routes = openapi::add_routes(routes);
    let routes = session::add_routes(routes, access.clone(), oidc, edge.base_path.clone());
    let routes = events::http::add_routes(routes, events);
    let routes =
        page.add_routes(dashboard::http::add_routes(routes, panels, sql, dashboard_state, max_message_bytes));
    for (path, requirement) in routes.requirements() {
        tracing::debug!(path, requires = ?requirement, "route");
    }
    let policy = Arc::new(RequestPolicy {
        origins: OriginPolicy::new(&edge.allowed_hosts, &edge.allowed_origins),
        browser_paths: routes.browser_paths(),
        access,
    });
    let router = routes
        .into_router()
        .method_not_allowed_fallback(method_not_allowed)
        .merge(grpc)
        .fallback(async move |request: Request| respond_to_unknown_path(unknown, request).await)
        .layer(axum::middleware::from_fn_with_state(policy, enforce_origin_policy))
        .layer(axum::middleware::from_fn(traces::trace_request));
    (below(&edge.base_path, router), reporter)
}

/// Serves everything at the root and below a path: a proxy may keep the path or strip it.
fn below(base_path: &BasePath, router: Router) -> Router {
    if base_path.is_root() {
        return router;
    }
    Router::new().nest_service(base_path.prefix(), router.clone()).fallback_service(router)
}

/// What responds to a path that no route has.
#[derive(Clone)]
struct UnknownPaths {
    page: Page,
    /// Responds with UNIMPLEMENTED in the protocol of the request.
    grpc: Router,
}

async fn respond_to_unknown_path(unknown: UnknownPaths, request: Request) -> Response {
    if edge::body::is_grpc(request.headers()) {
        return unknown.grpc.oneshot(request).await.into_response();
    }
    if Page::has_view(request.method(), request.uri().path(), request.headers()) {
        return unknown.page.respond(request.headers());
    }
    let detail = "unknown path; the page is at /, the HTTP API at /api/panels, /events and /health";
    problem_response(StatusCode::NOT_FOUND, detail)
}

/// axum adds the header `Allow`.
async fn method_not_allowed(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let detail = format!("{path} has no method {method}; the header Allow lists its methods");
    problem_response(StatusCode::METHOD_NOT_ALLOWED, &detail)
}

/// Accepts connections until `stop`, then waits up to 2 s for active calls to end. The caller then closes
/// `connection_tasks`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    config: EdgeConfig,
    tls: Option<(Tls, TlsWatcher)>,
    connection_tasks: ConnectionTasks,
    stop: CancellationToken,
) {
    edge::serve(listener, router, &config, tls, connection_tasks, stop).await;
}

/// Which requests of pages are served.
struct RequestPolicy {
    origins: OriginPolicy,
    /// HTTP paths that pages of a browser key's origins may use.
    browser_paths: HashSet<String>,
    access: AccessControl,
}

impl RequestPolicy {
    /// The origin of a page that may send events with a browser key. Its key is checked later.
    fn browser_origin(&self, request: &Request) -> Option<HeaderValue> {
        let path = request.uri().path();
        let origin = request.headers().get(ORIGIN)?;
        let is_allowed = (self.browser_paths.contains(path) || rpcs::is_for_browsers(path))
            && self.access.has_browser_origin(origin.to_str().ok()?);
        is_allowed.then(|| origin.clone())
    }
}

/// How long browsers may remember the response to a preflight, in seconds.
const PREFLIGHT_MAX_AGE: &str = "7200";
/// Headers of gRPC-Web and of `Retry-After` that pages may read.
const EXPOSED_HEADERS: &str = "grpc-status, grpc-message, grpc-status-details-bin, retry-after";

/// Rejects requests of pages from other origins, and sets the headers that keep such pages from embedding responses. Pages of
/// the origins of browser keys may send events: they get the headers of CORS.
async fn enforce_origin_policy(
    State(policy): State<Arc<RequestPolicy>>,
    request: Request,
    next: Next,
) -> Response {
    let checked = policy.origins.check(request.method(), request.uri(), request.version(), request.headers());
    let browser_origin = match &checked {
        Err(OriginError::CrossOrigin { .. }) => policy.browser_origin(&request),
        _ => None,
    };
    let mut response = match (&browser_origin, checked) {
        (Some(_), _) if request.method() == Method::OPTIONS => preflight_response(request.headers()),
        (Some(_), _) | (None, Ok(())) => next.run(request).await,
        (None, Err(error)) => problem_response(StatusCode::FORBIDDEN, &error.to_string()),
    };
    let headers = response.headers_mut();
    let resource_policy = match browser_origin {
        Some(origin) => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
            headers.append(VARY, HeaderValue::from_static("origin"));
            "cross-origin"
        }
        None => "same-origin",
    };
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static(resource_policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Allows the headers that the page asks for: the key is one of them, and no cookie is.
fn preflight_response(headers: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let allowed = response.headers_mut();
    allowed.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    if let Some(requested) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        allowed.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
    }
    allowed.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE));
    response
}

/// Replaces tonic's error for messages above the limit: it is OUT_OF_RANGE, where the gRPC specification has
/// RESOURCE_EXHAUSTED, and does not name the setting.
async fn explain_message_limit(response: Response, max_message_bytes: usize) -> Result<Response, Infallible> {
    let too_large = Status::from_header_map(response.headers()).is_some_and(|status| {
        status.code() == Code::OutOfRange && status.message().starts_with(TONIC_TOO_LARGE_PREFIX)
    });
    if !too_large {
        return Ok(response);
    }
    let status = Status::resource_exhausted(format!(
        "the message is larger than the maximum of {max_message_bytes} bytes (MILLRACE_MAX_MESSAGE_BYTES); send fewer \
         events per request"
    ));
    Ok(status.into_http())
}

/// The start of tonic's error message. `tests/it` checks it against the tonic version in use.
const TONIC_TOO_LARGE_PREFIX: &str = "Error, decoded message length too large";

/// Keeps grpc.health.v1.Health in sync with the health view until `stop`.
pub(crate) async fn report_health(reporter: HealthReporter, view: HealthView, stop: CancellationToken) {
    health::grpc::report_serving_status(reporter, view, stop).await;
}
