//! Traces over OTLP.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request_with};

/// A collector that keeps the spans that it receives.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource_spans in request.into_inner().resource_spans {
            let resource = format!("{:?}", resource_spans.resource);
            assert!(resource.contains("service.name") && resource.contains("millrace"), "{resource}");
            let spans = resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server =
            tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    async fn wait_for(&self, is_it: impl Fn(&Span) -> bool) -> Span {
        let received = async {
            loop {
                if let Some(span) = self.0.lock().unwrap().iter().find(|span| is_it(span)).cloned() {
                    return span;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let received = tokio::time::timeout(TIMEOUT, received).await;
        received.unwrap_or_else(|_| panic!("no such span: {:#?}", self.0.lock().unwrap()))
    }
}

fn attribute(span: &Span, name: &str) -> String {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == name);
    format!("{:?}", attribute.unwrap_or_else(|| panic!("no {name}: {span:?}")).value)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_batches_and_panel_statements_have_spans() {
    let (collector, url) = Collector::start().await;
    let variables = [
        ("MILLRACE_TRACES_ENDPOINT", url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        // Spans are not in the log, whatever its filter.
        ("MILLRACE_LOG", "trace"),
    ];
    let server = TestServer::start_with(&variables);
    let now = jiff::Timestamp::now();
    let events = format!(r#"[{{"event_name":"a","timestamp":"{now}","session_id":"s"}}]"#);
    let traceparent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let headers = format!("Content-Type: application/json\r\n{traceparent}");
    let (head, _) = http_request_with(&server, "POST", "/events", &headers, events.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (head, _) = http_request_with(&server, "GET", "/api/panels/top_pages", "", b"");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    server.ingest().await.send_events(events_request(vec![event("a")])).await.unwrap();

    let post = collector.wait_for(|span| span.name == "POST /events").await;
    assert_eq!(post.trace_id, 0x0af7651916cd43dd8448eb211c80319c_u128.to_be_bytes());
    assert_eq!(post.parent_span_id, 0xb7ad6b7169203331_u64.to_be_bytes());
    assert!(attribute(&post, "http.response.status_code").contains("200"));
    collector.wait_for(|span| span.name == "millrace.v1.IngestService/SendEvents").await;
    let batch = collector.wait_for(|span| span.name == "batch").await;
    assert!(attribute(&batch, "events").contains("IntValue"), "{batch:?}");
    for part in ["encode", "insert"] {
        let part = collector.wait_for(|span| span.name == part && span.trace_id == batch.trace_id).await;
        assert_eq!(part.parent_span_id, batch.span_id, "{part:?}");
    }
    let request = collector.wait_for(|span| span.name == "GET /api/panels/{name}").await;
    let statement =
        collector.wait_for(|span| span.name == "panel statement" && span.trace_id == request.trace_id).await;
    assert_eq!(statement.parent_span_id, request.span_id);
    assert!(attribute(&statement, "panel").contains("top_pages"));
    assert!(!server.log().contains("panel statement"), "{}", server.log());
}

/// It accepts connections and never answers.
#[tokio::test]
async fn a_collector_that_hangs_delays_nothing() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", collector.local_addr().unwrap());
    let variables = [
        ("MILLRACE_TRACES_ENDPOINT", url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"),
    ];
    let server = TestServer::start_with(&variables);
    let mut ingest = server.ingest().await;
    for _ in 0..100 {
        ingest.send_events(events_request(vec![event("a")])).await.unwrap();
    }
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count() FROM events").await, "100");
    let (status, log) = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("the last spans could not be exported"), "{log}");
}
