//! Traces: spans of requests, batches and statements of panels, exported over OTLP.
//!
//! No span is of a single event, and none blocks: finished spans wait in a bounded queue for a thread that exports them, and
//! those that find it full are dropped. The spans are `tracing` spans with the target [`TARGET`]. The log does not show
//! them, and without an exporter they are disabled.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument as _, Span};

use crate::access::rpcs;

/// The target of every exported span.
pub(crate) const TARGET: &str = "traces";

/// Traces a request, up to the head of its response. It continues the trace of the header `traceparent`.
pub(crate) async fn trace_request(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unknown path", MatchedPath::as_str);
    let path = request.uri().path();
    let name = match rpcs::is_known(path) {
        true => path.trim_start_matches('/').to_owned(),
        false => format!("{} {route}", request.method()),
    };
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = name,
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        rpc.grpc.status_code = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    );
    if span.is_disabled() {
        return next.run(request).await;
    }
    #[cfg(feature = "traces")]
    otlp::continue_trace(&span, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    record_response(&span, &response);
    response
}

/// The status of a call whose response has a body is in its trailers, which come later.
fn record_response(span: &Span, response: &Response) {
    span.record("http.response.status_code", response.status().as_u16());
    let grpc_status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok());
    if let Some(status) = grpc_status {
        span.record("rpc.grpc.status_code", status);
    }
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Marks a span as failed. It has the fields `otel.status_code` and `otel.status_description`.
pub(crate) fn record_failure(span: &Span, error: &impl std::fmt::Display) {
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", tracing::field::display(error));
}

#[cfg(feature = "traces")]
pub(crate) mod otlp {
    //! The exporter.

    use std::time::Duration;

    use http::HeaderMap;
    use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{Metadata, Span, Subscriber};
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::registry::LookupSpan;

    use super::TARGET;

    /// How long the last spans may take at the end of the process.
    const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

    /// Exports spans until it is shut down.
    pub(crate) struct Exporter(SdkTracerProvider);

    impl Exporter {
        /// Exports to a collector at this URL, without waiting for it. The SDK reads its further variables, such as
        /// `OTEL_TRACES_SAMPLER` and `OTEL_RESOURCE_ATTRIBUTES`.
        pub(crate) fn new(endpoint: &str) -> Result<Self, ExporterBuildError> {
            let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
            let mut resource = Resource::builder();
            if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
                resource = resource.with_service_name("millrace");
            }
            Ok(Self(
                SdkTracerProvider::builder()
                    .with_batch_exporter(exporter)
                    .with_resource(resource.build())
                    .build(),
            ))
        }

        /// Passes the spans of [`TARGET`] to the exporter.
        pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
        where
            S: Subscriber + for<'span> LookupSpan<'span>,
        {
            let is_exported = |metadata: &Metadata<'_>| metadata.is_span() && metadata.target() == TARGET;
            tracing_opentelemetry::layer()
                .with_tracer(self.0.tracer("millrace"))
                .with_filter(filter_fn(is_exported))
        }

        /// Exports the last spans. Blocks for up to a second.
        pub(crate) fn shutdown(self) {
            if let Err(error) = self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
                tracing::warn!(%error, "the last spans could not be exported");
            }
        }
    }

    pub(super) fn continue_trace(span: &Span, headers: &HeaderMap) {
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        if let Err(error) = span.set_parent(parent) {
            tracing::debug!(?error, "cannot continue a trace");
        }
    }

    struct Headers<'a>(&'a HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(http::HeaderName::as_str).collect()
        }
    }
}
