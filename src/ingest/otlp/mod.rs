//! OpenTelemetry's logs: LogsService over gRPC and `POST /v1/logs`. A log record with an event name is an event.
//!
//! docs/opentelemetry.md has what is mapped. Records that are no events are rejected in `partial_success`; the others of the
//! request are accepted.

mod record;
pub(crate) mod wire;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use prost::Message as _;
use tonic::Status;

use super::fuzzed::{FuzzedDecoder, FuzzedRequest};
use super::http::{into_response, media_type};
use super::idempotency::within_project;
use super::ingester::{DecodedRequest, Ingester, MAX_STREAM_EVENTS, RejectionBudget, check_event_count};
use super::rejected::Payload;
use crate::access::{HttpRoutes, Requirement};
use crate::edge::body::{self, BodyPermit};
use crate::error::{Error, problem_response};
use crate::proto::otlp::collector::logs::v1::logs_service_server::LogsService;
use crate::proto::otlp::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use crate::proto::otlp::logs::v1::LogRecord;
use crate::proto::v1::{EventSource, Rejection};
use record::{RECORD_IDS, Resource, to_event};
use wire::{JsonLogsRequest, LogsRequest};

/// Records of a request.
const MAX_RECORDS: usize = MAX_STREAM_EVENTS;
/// Reasons in `partial_success`.
const MAX_REASONS: usize = 10;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Serves LogsService.
#[derive(Debug)]
pub(crate) struct LogsHandler {
    ingester: Ingester,
}

impl LogsHandler {
    pub(crate) fn new(ingester: Ingester) -> Self {
        Self { ingester }
    }
}

#[tonic::async_trait]
impl LogsService for LogsHandler {
    async fn export(
        &self,
        mut request: tonic::Request<LogsRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let ingester = self.ingester.for_request(
            request.extensions(),
            request.metadata().as_ref(),
            EventSource::Otlp,
        )?;
        let body_permit = request.extensions_mut().remove::<BodyPermit>();
        let request = request.into_inner();
        if let Some(body_permit) = &body_permit {
            body_permit.grow_to(request.message_bytes())?;
        }
        let bytes = request.message_bytes();
        let response = export(&ingester, Records::Protobuf(request), bytes, body_permit).await?;
        Ok(tonic::Response::new(response))
    }
}

/// Adds the route `/v1/logs`. A body of more than `max_body_bytes` gets a 413.
pub(crate) fn add_routes(routes: HttpRoutes, ingester: Ingester, max_body_bytes: usize) -> HttpRoutes {
    let handler = async move |State(ingester): State<Ingester>, request: Request| {
        post_logs(ingester, request, max_body_bytes).await
    };
    routes.route("/v1/logs", Requirement::Write, post(handler).with_state(ingester))
}

async fn post_logs(
    ingester: Ingester,
    request: Request,
    max_body_bytes: usize,
) -> Result<Response, Response> {
    let ingester = ingester
        .for_request(request.extensions(), request.headers(), EventSource::Otlp)
        .map_err(into_response)?;
    let (parts, body) = request.into_parts();
    let is_json = match media_type(&parts.headers).as_deref() {
        Some("application/x-protobuf") => false,
        Some("application/json") => true,
        _ => {
            let detail = "Content-Type: application/x-protobuf or application/json is expected";
            return Err(problem_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
    };
    let body = body::read(&parts, body, max_body_bytes).await.map_err(IntoResponse::into_response)?;
    let bytes = body.len();
    let response = match is_json {
        true => {
            let request = JsonLogsRequest::parse(&body, MAX_RECORDS).map_err(into_response)?;
            export(&ingester, Records::Json(request), bytes, parts).await
        }
        false => {
            let request = LogsRequest::parse(body).map_err(|error| {
                Error::invalid(format!("the body is not an ExportLogsServiceRequest: {error}"))
                    .into_response()
            })?;
            export(&ingester, Records::Protobuf(request), bytes, parts).await
        }
    };
    let response = response.map_err(into_response)?;
    let (media_type, encoded) = match is_json {
        true => (JSON, Bytes::from(response_json(&response).to_string())),
        false => (PROTOBUF, response.encode_to_vec().into()),
    };
    Ok(([(CONTENT_TYPE, media_type)], encoded).into_response())
}

/// OTLP's JSON has 64-bit integers as strings.
fn response_json(response: &ExportLogsServiceResponse) -> serde_json::Value {
    match &response.partial_success {
        None => serde_json::json!({}),
        Some(partial) => serde_json::json!({ "partialSuccess": {
            "rejectedLogRecords": partial.rejected_log_records.to_string(),
            "errorMessage": partial.error_message,
        } }),
    }
}

/// The records of a request, in either encoding.
enum Records<'a> {
    Protobuf(LogsRequest),
    Json(JsonLogsRequest<'a>),
}

impl Records<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Protobuf(request) => request.len(),
            Self::Json(request) => request.len(),
        }
    }

    fn max_columns_bytes(&self) -> usize {
        match self {
            Self::Protobuf(request) => request.max_columns_bytes(),
            Self::Json(request) => request.max_columns_bytes(),
        }
    }

    fn for_each(&self, f: impl FnMut(&Resource, Result<LogRecord, wire::RecordError>)) {
        match self {
            Self::Protobuf(request) => request.for_each_record(f),
            Self::Json(request) => request.for_each_record(f),
        }
    }
}

/// `received` holds the permit for the memory of the request until it is decoded.
async fn export(
    ingester: &Ingester,
    records: Records<'_>,
    message_bytes: usize,
    received: impl Send,
) -> Result<ExportLogsServiceResponse, Error> {
    check_event_count(records.len(), MAX_RECORDS, "LogsService/Export", "")?;
    ingester.take_tokens(records.len(), message_bytes).await?;
    let permit = ingester.writer.try_reserve(records.max_columns_bytes()).await?;
    let total = records.len();
    let decoded = decode(ingester, &records)?;
    drop((records, received));
    let pending_ack = ingester.writer.try_submit(decoded.request, permit).await?;
    pending_ack.await?;
    let partial_success = (decoded.rejected > 0).then(|| ExportLogsPartialSuccess {
        rejected_log_records: i64::try_from(decoded.rejected).unwrap_or(i64::MAX),
        error_message: error_message(&decoded.rejections.into_list(), decoded.rejected, total),
    });
    Ok(ExportLogsServiceResponse { partial_success })
}

fn decode(ingester: &Ingester, records: &Records<'_>) -> Result<DecodedRequest, Error> {
    let rejection_budget = RejectionBudget::for_unary();
    let mut decoder = ingester.decoder(0, String::new(), 0, &rejection_budget)?;
    let received_at_ms = jiff::Timestamp::now().as_millisecond();
    let record_ids = within_project(RECORD_IDS, &ingester.caller()?.project);
    let mut index = 0;
    records.for_each(|resource, record| {
        let event = record.and_then(|record| {
            to_event(record, resource, received_at_ms, record_ids).map_err(|error| error.to_string())
        });
        match event {
            Ok(event) => decoder.push_event(index, &event, None),
            Err(reason) => decoder.reject(index, "record", reason, "", Payload::Unknown),
        }
        index += 1;
    });
    Ok(decoder.finish())
}

fn error_message(rejections: &[Rejection], rejected: u64, total: usize) -> String {
    let reasons = rejections
        .iter()
        .take(MAX_REASONS)
        .map(|rejection| format!("{}: {} {}", rejection.index, rejection.field, rejection.reason));
    let mut message = format!("{rejected} of {total} log records are rejected");
    for reason in reasons {
        message.push_str("; ");
        message.push_str(&reason);
    }
    message
}

/// For the fuzzer: handles a request of LogsService, in either encoding, without a writer. `None` if it is rejected as a whole.
#[doc(hidden)]
pub fn fuzz_logs(
    body: &[u8],
    is_json: bool,
    rules: &crate::event::ValidationRules,
    now_ms: i64,
) -> Option<FuzzedRequest> {
    let records = match is_json {
        true => Records::Json(JsonLogsRequest::parse(body, MAX_RECORDS).ok()?),
        false => Records::Protobuf(LogsRequest::parse(Bytes::copy_from_slice(body)).ok()?),
    };
    if records.len() > MAX_RECORDS {
        return None;
    }
    let mut decoder = FuzzedDecoder::new(rules, now_ms);
    records.for_each(|resource, record| {
        let event = record.ok().and_then(|record| to_event(record, resource, now_ms, RECORD_IDS).ok());
        decoder.push(event.as_ref());
    });
    Some(decoder.finish(records.len(), records.max_columns_bytes()))
}
