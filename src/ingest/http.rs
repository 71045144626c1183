//! `POST /events`: a JSON array or lines of events, for senders without gRPC.

use std::fmt;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::event_json::{EventJsonError, parse_event_json};
use super::fuzzed::{FuzzedDecoder, FuzzedRequest};
use super::idempotency::IdempotencyKey;
use super::ingester::{DecodedRequest, Ingester, MAX_SEND_EVENTS, RejectionBudget, check_event_count};
use super::rejected::Payload;
use crate::access::{HttpRoutes, Requirement};
use crate::edge::body;
use crate::error::{Error, problem_response};
use crate::event::MAX_PROPERTIES_BYTES;
use crate::proto::json::to_json;
use crate::proto::v1::{self, EventSource};
use crate::writer::Ack;

/// The largest event as JSON, in bytes: `properties` has up to 64 KiB, and more if its text is escaped.
const MAX_EVENT_JSON_BYTES: usize = 256 << 10;
/// The most JSON values in an event: more do not fit into 64 KiB.
const MAX_EVENT_VALUES: usize = MAX_PROPERTIES_BYTES / 2;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SENT_TO_ANOTHER_SERVER: HeaderName = HeaderName::from_static("millrace-sent-to-another-server");

/// Adds the route `/events`. A body of more than `max_body_bytes` gets a 413.
pub(crate) fn add_routes(routes: HttpRoutes, ingester: Ingester, max_body_bytes: usize) -> HttpRoutes {
    let handler = move |State(ingester): State<Ingester>, request: Request| {
        post_events(ingester, request, max_body_bytes)
    };
    routes.route("/events", Requirement::BrowserWrite, post(handler).with_state(ingester))
}

async fn post_events(
    ingester: Ingester,
    request: Request,
    max_body_bytes: usize,
) -> Result<Response, Response> {
    let ingester = ingester
        .for_request(request.extensions(), request.headers(), EventSource::Http)
        .map_err(into_response)?;
    let (parts, body) = request.into_parts();
    let Some(format) = BodyFormat::from_headers(&parts.headers) else {
        return Err(problem_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, UNKNOWN_CONTENT_TYPE));
    };
    let project = ingester.caller().map_err(into_response)?.project.clone();
    let key = parts.headers.get(IDEMPOTENCY_KEY).map(|key| IdempotencyKey::new(&project, key));
    let key = key.transpose().map_err(into_response)?;
    let sent_to_another_server = sent_to_another_server(&parts.headers).map_err(into_response)?;
    let body = body::read(&parts, body, max_body_bytes).await.map_err(IntoResponse::into_response)?;
    let elements = format.split(&body).map_err(into_response)?;
    ingester.take_tokens(elements.len(), body.len()).await.map_err(into_response)?;
    let max_bytes = elements.iter().map(|element| max_columns_bytes(element)).sum();
    let permit = ingester.writer.try_reserve(max_bytes).await.map_err(into_response)?;
    let mut decoded = decode_events(&ingester, &elements, key.as_ref()).map_err(into_response)?;
    decoded.request.sent_to_another_server = sent_to_another_server;
    drop((parts, body)); // `parts` has the permit for the memory of the body
    let pending_ack = ingester.writer.try_submit(decoded.request, permit).await.map_err(into_response)?;
    let mut ack = pending_ack.await.map_err(into_response)?;
    if key.is_some() {
        // A repeated request gets the result of the first one.
        ack = Ack { accepted: ack.accepted + ack.duplicates, duplicates: 0, ..ack };
    }
    let all_rejected = ack.accepted + ack.duplicates == 0 && decoded.rejected > 0;
    let response = v1::SendEventsResponse {
        accepted: ack.accepted,
        rejected: decoded.rejected,
        duplicates: ack.duplicates,
        rejections: decoded.rejections.into_list(),
        last_durable_sequence: 0,
    };
    let status = if all_rejected { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok((status, Json(to_json("SendEventsResponse", &response))).into_response())
}

/// Whether another server may have stored the request.
fn sent_to_another_server(headers: &HeaderMap) -> Result<bool, Error> {
    match headers.get(SENT_TO_ANOTHER_SERVER).map(HeaderValue::as_bytes) {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(Error::invalid("Millrace-Sent-To-Another-Server must be true or false")),
    }
}

/// Parses and validates the events one at a time, so that only one is in memory in its parsed form.
fn decode_events(
    ingester: &Ingester,
    elements: &[&str],
    key: Option<&IdempotencyKey>,
) -> Result<DecodedRequest, Error> {
    let rejection_budget = RejectionBudget::for_unary();
    let mut decoder = ingester.decoder(0, String::new(), 0, &rejection_budget)?;
    let mut event = v1::Event::default();
    for (index, element) in (0_u32..).zip(elements) {
        if let Err(error) = read_event(element, &mut event) {
            decoder.reject(index, error.field, error.reason, &event.event_name, Payload::Text(element));
            continue;
        }
        if let Some(key) = key
            && event.event_id.as_ref().is_none_or(String::is_empty)
        {
            let mut text = Uuid::encode_buffer();
            event.event_id = Some(key.event_id(index).hyphenated().encode_lower(&mut text).to_owned());
        }
        decoder.push_event(index, &event, Some(element));
    }
    Ok(decoder.finish())
}

pub(super) fn into_response(error: impl Into<Error>) -> Response {
    error.into().into_response()
}

/// How a body lists its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFormat {
    /// A JSON array.
    Array,
    /// An event per line.
    Lines,
}

const UNKNOWN_CONTENT_TYPE: &str = "Content-Type: expected is application/json or text/plain for a JSON array of events, or \
    application/x-ndjson for an event per line; with curl, use --json or -H 'content-type: application/json'";

impl BodyFormat {
    /// `None` for another content type, or none. A browser sends text without a preflight request; like any of its
    /// requests, it has an `Origin`, which has been checked.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let media_type = media_type(headers)?;
        match media_type.as_str() {
            "application/json" | "text/plain" => Some(Self::Array),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Lines),
            _ if media_type.starts_with("application/") && media_type.ends_with("+json") => Some(Self::Array),
            _ => None,
        }
    }

    /// The texts of the events, which are not parsed. Fails if there are more than [`MAX_SEND_EVENTS`].
    fn split(self, body: &[u8]) -> Result<Vec<&str>, Error> {
        match self {
            Self::Array => parse_array(body),
            Self::Lines => split_lines(body),
        }
    }
}

/// The content type in lower case, without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The lines that are not blank.
fn split_lines(body: &[u8]) -> Result<Vec<&str>, Error> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Error::invalid(format!("the body is not UTF-8: {error}; send an event per line")))?;
    let mut lines = text.split('\n').map(str::trim_ascii).filter(|line| !line.is_empty());
    let events = lines.by_ref().take(MAX_SEND_EVENTS).collect::<Vec<_>>();
    check_event_count(events.len() + lines.count(), MAX_SEND_EVENTS, "POST /events", ", or use gRPC")?;
    Ok(events)
}

/// Splits the array into its elements without parsing them. Fails if there are more than [`MAX_SEND_EVENTS`].
fn parse_array(body: &[u8]) -> Result<Vec<&str>, Error> {
    let (elements, count) = parse_elements(body, MAX_SEND_EVENTS).map_err(|error| {
        Error::invalid(format!(
            "the body is not a JSON array of events: {error}; send [{{\"event_name\": …}}, …]"
        ))
    })?;
    check_event_count(count, MAX_SEND_EVENTS, "POST /events", ", or use gRPC")?;
    Ok(elements)
}

/// The first `max` elements of a JSON array, and the number of all.
pub(super) fn parse_elements(body: &[u8], max: usize) -> serde_json::Result<(Vec<&str>, usize)> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let elements = reader.deserialize_seq(ArrayVisitor { max })?;
    reader.end().map(|()| elements)
}

/// Keeps the first `max` elements, and counts all.
struct ArrayVisitor {
    max: usize,
}

impl<'a> Visitor<'a> for ArrayVisitor {
    type Value = (Vec<&'a str>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.max {
            match sequence.next_element::<&RawValue>()? {
                Some(element) => elements.push(element.get()),
                None => {
                    let count = elements.len();
                    return Ok((elements, count));
                }
            }
        }
        let mut count = elements.len();
        while sequence.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((elements, count))
    }
}

/// An upper bound for the size of an event in columns. It can be larger than the JSON: 1e15 becomes 1000000000000000.
pub(super) fn max_columns_bytes(element: &str) -> usize {
    const FIXED_COLUMN_BYTES: usize = 256;
    const PROMOTED_FACTOR: usize = 3;
    let text = element.len();
    FIXED_COLUMN_BYTES + PROMOTED_FACTOR * (6 * text).min(text + MAX_PROPERTIES_BYTES)
}

/// Parses an event into `event`, whose memory is reused.
pub(super) fn read_event(text: &str, event: &mut v1::Event) -> Result<(), EventJsonError> {
    let invalid = |reason| Err(EventJsonError { field: "", reason });
    if text.len() > MAX_EVENT_JSON_BYTES {
        return invalid(format!("has {} bytes of JSON; the limit is {MAX_EVENT_JSON_BYTES}", text.len()));
    }
    // Each value but the first has a separator.
    if text.len() >= MAX_EVENT_VALUES {
        let values = count_values(text);
        if values > MAX_EVENT_VALUES {
            return invalid(format!("holds {values} values; the limit is {MAX_EVENT_VALUES}"));
        }
    }
    parse_event_json(text, event)
}

/// An upper bound for the number of values, from the separators.
fn count_values(json: &str) -> usize {
    let (mut values, mut in_string, mut escaped) = (1, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

/// For the fuzzer: handles a body like `POST /events`, without a writer. `None` if the body is rejected as a whole.
#[doc(hidden)]
pub fn fuzz_post_events(
    body: &[u8],
    are_lines: bool,
    rules: &crate::event::ValidationRules,
    now_ms: i64,
) -> Option<FuzzedRequest> {
    let format = if are_lines { BodyFormat::Lines } else { BodyFormat::Array };
    let elements = format.split(body).ok()?;
    let max_bytes = elements.iter().map(|element| max_columns_bytes(element)).sum();
    let mut decoder = FuzzedDecoder::new(rules, now_ms);
    let mut event = v1::Event::default();
    for element in &elements {
        let read = read_event(element, &mut event);
        decoder.push(read.is_ok().then_some(&event));
    }
    Some(decoder.finish(elements.len(), max_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// A short version of the fuzz target.
        #[test]
        fn every_element_is_either_accepted_or_rejected(
            words in proptest::collection::vec(
                "[\\[\\]{},:]|1e[0-9]{1,3}|null|\"[a-z\u{1}\\\\]{0,9}\"|\\{\"event_name\":\"a\"\\}",
                0..12,
            ),
        ) {
            let retention = std::time::Duration::from_secs(86_400);
            let rules = crate::event::ValidationRules { retention, max_clock_skew: retention };
            for separator in ["", ","] {
                let body = format!("[{}]", words.join(separator));
                if let Some(request) = fuzz_post_events(body.as_bytes(), false, &rules, 0) {
                    proptest::prop_assert_eq!(request.accepted + request.rejected, request.events);
                }
            }
        }
    }

    #[test]
    fn elements_are_counted_without_parsing_them() {
        assert_eq!(parse_array(b" [1, {\"a\": [2]} ] ").unwrap().len(), 2);
        let many = format!("[{}0]", "0,".repeat(2_000_000));
        let error = parse_array(many.as_bytes()).unwrap_err();
        assert!(error.message.contains("2000001 were sent"), "{error}");
        for bad in ["", "{}", "[1,]", "[1] 2", "[1"] {
            let error = parse_array(bad.as_bytes()).unwrap_err();
            assert!(error.message.contains("not a JSON array"), "{bad}: {error}");
        }
    }

    #[test]
    fn an_event_is_limited_in_bytes_and_values() {
        let parse_event =
            |element: &str| read_event(element, &mut v1::Event::default()).map_err(|error| error.reason);
        let many = format!(r#"{{"event_name":"a","properties":{{"x":[{}0]}}}}"#, "0,".repeat(40_000));
        assert!(parse_event(&many).unwrap_err().contains("40005 values"));
        let texts = format!(r#"{{"event_name":"a","properties":{{"x":"{}\"{{"}}}}"#, ",".repeat(40_000));
        assert!(parse_event(&texts).is_ok(), "separators in a string do not count");
        let long = format!(r#"{{"event_name":"{}"}}"#, "a".repeat(300_000));
        assert!(parse_event(&long).unwrap_err().contains("300017 bytes"));
    }

    #[test]
    fn the_content_type_says_how_events_are_listed() {
        use BodyFormat::{Array, Lines};
        for (media_type, expected) in [
            ("application/json", Some(Array)),
            ("Application/JSON; charset=utf-8", Some(Array)),
            ("application/cloudevents-batch+json", Some(Array)),
            ("text/plain;charset=UTF-8", Some(Array)),
            ("application/x-ndjson", Some(Lines)),
            ("application/jsonl", Some(Lines)),
            ("text/json", None),
            ("application/x-www-form-urlencoded", None),
            ("multipart/form-data; boundary=application/json", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type.parse().unwrap())]);
            assert_eq!(BodyFormat::from_headers(&headers), expected, "{media_type}");
        }
        assert_eq!(BodyFormat::from_headers(&HeaderMap::new()), None);
    }

    #[test]
    fn lines_are_events() {
        assert_eq!(split_lines(b"\n{\"a\":1}\r\n\n  [2] \nx").unwrap(), ["{\"a\":1}", "[2]", "x"]);
        assert_eq!(split_lines(b"").unwrap(), [""; 0]);
        let error = split_lines("{}\n".repeat(1_000_000).as_bytes()).unwrap_err();
        assert!(error.message.contains("1000000 were sent"), "{error}");
        assert!(split_lines(b"{}\n\xff").unwrap_err().message.contains("not UTF-8"));
    }
}
