//! The tracking API of Segment's libraries: `POST /v1/{track,page,screen,identify,group,alias,batch}`.
//!
//! docs/segment.md has what is mapped and what is ignored. A message that is sent again is counted once, since its
//! `messageId` becomes its event id.

mod message;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fuzzed::{FuzzedDecoder, FuzzedRequest};
use super::http::{BodyFormat, into_response, max_columns_bytes};
use super::idempotency::within_project;
use super::ingester::{DecodedRequest, Ingester, RejectionBudget, check_event_count};
use super::object::from_object;
use super::rejected::Payload;
use crate::access::{HttpRoutes, Requirement};
use crate::edge::body::{self, BodyError};
use crate::error::{Error, problem_response};
use crate::proto::json::to_json;
use crate::proto::v1::EventSource;
use message::{Kind, MessageContext, to_event};

/// Limits of Segment's own API, in bytes after decompression.
const MAX_CALL_BYTES: usize = 32 << 10;
const MAX_BATCH_BYTES: usize = 500 << 10;
/// Messages of a batch: each has at least 200 bytes.
const MAX_BATCH_MESSAGES: usize = 2_500;
/// Properties that are added to those of a message.
const ADDED_PROPERTIES_BYTES: usize = 2 << 10;
/// Of event ids that are derived from a `messageId` that is not a UUID. Random.
const MESSAGE_IDS: Uuid = Uuid::from_u128(0x9b1f_53d2_7e08_4c6a_a1f4_3d85_c27e_60b9);

/// What a path receives, with its paths: the long one of the HTTP API, and the one of analytics.js.
const CALLS: [(Option<Kind>, [&str; 2]); 7] = [
    (Some(Kind::Track), ["/v1/track", "/v1/t"]),
    (Some(Kind::Page), ["/v1/page", "/v1/p"]),
    (Some(Kind::Screen), ["/v1/screen", "/v1/s"]),
    (Some(Kind::Identify), ["/v1/identify", "/v1/i"]),
    (Some(Kind::Group), ["/v1/group", "/v1/g"]),
    (Some(Kind::Alias), ["/v1/alias", "/v1/a"]),
    (None, ["/v1/batch", "/v1/b"]),
];

/// Adds the routes of [`CALLS`]. Bodies are limited to Segment's sizes, and to `max_body_bytes`.
pub(crate) fn add_routes(mut routes: HttpRoutes, ingester: Ingester, max_body_bytes: usize) -> HttpRoutes {
    for (kind, paths) in CALLS {
        for path in paths {
            let handler = async move |State(ingester): State<Ingester>, request: Request| {
                receive(ingester, kind, request, max_body_bytes).await
            };
            let methods = post(handler).with_state(ingester.clone());
            routes = routes.route(path, Requirement::BrowserWrite, methods);
        }
    }
    routes
}

/// Every path with what it receives.
pub(crate) fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    CALLS.into_iter().flat_map(|(_, paths)| paths.map(|path| (path, paths[0].trim_start_matches("/v1/"))))
}

/// The body of `/v1/batch`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Vec<&'a RawValue>,
    sent_at: Option<Value>,
    /// Of the messages that have none of their own.
    context: Option<Value>,
}

/// `kind` is that of the call; `None` for a batch.
async fn receive(
    ingester: Ingester,
    kind: Option<Kind>,
    request: Request,
    max_body_bytes: usize,
) -> Result<Response, Response> {
    let ingester = ingester
        .for_request(request.extensions(), request.headers(), EventSource::Segment)
        .map_err(into_response)?;
    let (parts, body) = request.into_parts();
    let is_json = BodyFormat::from_headers(&parts.headers) == Some(BodyFormat::Array);
    if !is_json && parts.headers.contains_key(CONTENT_TYPE) {
        let detail = "Content-Type: application/json or text/plain is expected";
        return Err(problem_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let max_bytes = if kind.is_some() { MAX_CALL_BYTES } else { MAX_BATCH_BYTES };
    let body = body::read(&parts, body, max_bytes.min(max_body_bytes)).await.map_err(|error| match error {
        BodyError::TooLarge { .. } if max_bytes <= max_body_bytes => {
            let detail = format!(
                "the body is larger than {max_bytes} bytes; a call may have {MAX_CALL_BYTES}, a batch {MAX_BATCH_BYTES}"
            );
            problem_response(StatusCode::PAYLOAD_TOO_LARGE, &detail)
        }
        error => error.into_response(),
    })?;
    let batch = match kind {
        Some(_) => {
            Batch { batch: vec![parse_message(&body).map_err(into_response)?], sent_at: None, context: None }
        }
        None => parse_batch(&body).map_err(into_response)?,
    };
    check_event_count(batch.batch.len(), MAX_BATCH_MESSAGES, "/v1/batch", "").map_err(into_response)?;
    ingester.take_tokens(batch.batch.len(), body.len()).await.map_err(into_response)?;
    let columns = |message: &&RawValue| max_columns_bytes(message.get()) + ADDED_PROPERTIES_BYTES;
    let permit = ingester.writer.try_reserve(batch.batch.iter().map(columns).sum());
    let permit = permit.await.map_err(into_response)?;
    let decoded = decode(&ingester, kind, &batch).map_err(into_response)?;
    drop((parts, body)); // `parts` has the permit for the memory of the body
    let pending_ack = ingester.writer.try_submit(decoded.request, permit).await.map_err(into_response)?;
    let ack = pending_ack.await.map_err(into_response)?;
    if decoded.rejected == 0 {
        return Ok(Json(json!({ "success": true })).into_response());
    }
    let rejections = decoded.rejections.into_list();
    if ack.accepted + ack.duplicates == 0 {
        let first = rejections.first().map_or_else(String::new, |rejection| {
            format!(": message {} {} {}", rejection.index, rejection.field, rejection.reason)
        });
        return Err(into_response(Error::invalid(format!("no message is valid{first}"))));
    }
    let rejections = rejections.iter().map(|rejection| to_json("Rejection", rejection)).collect::<Vec<_>>();
    let response = json!({ "success": true, "rejected": decoded.rejected, "rejections": rejections });
    Ok(Json(response).into_response())
}

fn parse_batch(body: &[u8]) -> Result<Batch<'_>, Error> {
    from_object(body).map_err(|error| invalid_body(&error))
}

fn parse_message(body: &[u8]) -> Result<&RawValue, Error> {
    serde_json::from_slice(body).map_err(|error| invalid_body(&error))
}

fn invalid_body(error: &serde_json::Error) -> Error {
    Error::invalid(format!(
        "the body is not a message of Segment's tracking API: {error}; a batch is \
         {{\"batch\": [{{\"type\": \"track\", …}}, …]}}"
    ))
}

fn decode(ingester: &Ingester, kind: Option<Kind>, batch: &Batch<'_>) -> Result<DecodedRequest, Error> {
    let rejection_budget = RejectionBudget::for_unary();
    let mut decoder = ingester.decoder(0, String::new(), 0, &rejection_budget)?;
    let context = MessageContext {
        kind,
        received_at: jiff::Timestamp::now(),
        sent_at: batch.sent_at.as_ref(),
        context: batch.context.as_ref(),
        message_ids: within_project(MESSAGE_IDS, &ingester.caller()?.project),
    };
    for (index, message) in (0_u32..).zip(&batch.batch) {
        let text = message.get();
        if text.len() > MAX_CALL_BYTES {
            let reason = format!("has {} bytes; the limit is {MAX_CALL_BYTES}", text.len());
            decoder.reject(index, "", reason, "", Payload::Text(text));
            continue;
        }
        match to_event(text, &context) {
            Ok(event) => decoder.push_event(index, &event, Some(text)),
            Err(error) => decoder.reject(index, error.field, error.reason, "", Payload::Text(text)),
        }
    }
    Ok(decoder.finish())
}

/// For the fuzzer: handles a body like a call, or like a batch if `call` is `None`, without a writer. `None` if the body is
/// rejected as a whole.
#[doc(hidden)]
pub fn fuzz_segment(
    body: &[u8],
    call: Option<u8>,
    rules: &crate::event::ValidationRules,
    now_ms: i64,
) -> Option<FuzzedRequest> {
    let kind = call.and_then(|call| CALLS[usize::from(call) % CALLS.len()].0);
    let batch = match kind {
        Some(_) => Batch { batch: vec![parse_message(body).ok()?], sent_at: None, context: None },
        None => parse_batch(body).ok()?,
    };
    let context = MessageContext {
        kind,
        received_at: jiff::Timestamp::from_millisecond(now_ms).ok()?,
        sent_at: batch.sent_at.as_ref(),
        context: batch.context.as_ref(),
        message_ids: MESSAGE_IDS,
    };
    let columns = |message: &&RawValue| max_columns_bytes(message.get()) + ADDED_PROPERTIES_BYTES;
    let max_bytes = batch.batch.iter().map(columns).sum();
    let mut decoder = FuzzedDecoder::new(rules, now_ms);
    for message in &batch.batch {
        decoder.push(to_event(message.get(), &context).ok().as_ref());
    }
    Some(decoder.finish(batch.batch.len(), max_bytes))
}
