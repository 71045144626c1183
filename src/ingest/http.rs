//! `POST /events`: a JSON array of events, for senders without gRPC.

use std::fmt;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::event_json::{EventJsonError, parse_event_json};
use super::ingester::{DecodedRequest, Ingester, MAX_SEND_EVENTS, RejectionBudget, check_event_count};
use crate::access::{HttpRoutes, Requirement};
use crate::edge::body;
use crate::error::{Error, problem_response};
use crate::event::MAX_PROPERTIES_BYTES;
use crate::proto::json::to_json;
use crate::proto::v1;

/// The largest event as JSON, in bytes: `properties` has up to 64 KiB, and more if its text is escaped.
const MAX_EVENT_JSON_BYTES: usize = 256 << 10;
/// The most JSON values in an event: more do not fit into 64 KiB.
const MAX_EVENT_VALUES: usize = MAX_PROPERTIES_BYTES / 2;

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
    let ingester = ingester.for_request(request.extensions()).map_err(Error::into_response)?;
    // Prevents cross-site requests: browsers need a preflight for JSON, but not for text, forms and untyped bodies.
    if !is_json_content_type(request.headers()) {
        let detail = "Content-Type: application/json is expected; with curl, use --json or \
                      -H 'content-type: application/json'";
        return Err(problem_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    // `parts` has the permit for the memory of the body.
    let (parts, body) = request.into_parts();
    let body = body::read_to_end(body, max_body_bytes)
        .await
        .map_err(|error| problem_response(error.status(), &error.to_string()))?;
    let elements = parse_array(&body).map_err(Error::into_response)?;
    if let Some(limits) = ingester.caller().map_err(Error::into_response)?.limits() {
        limits.try_take(elements.len(), body.len()).await.map_err(Error::into_response)?;
    }
    let max_bytes = elements.iter().map(|element| max_columns_bytes(element)).sum();
    let permit = ingester.writer.try_reserve(max_bytes).await.map_err(into_response)?;
    let decoded = decode_events(&ingester, &elements).map_err(Error::into_response)?;
    drop((parts, body));
    let pending_ack = ingester.writer.try_submit(decoded.request, permit).await.map_err(into_response)?;
    let ack = pending_ack.await.map_err(into_response)?;
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

/// Parses and validates the events one at a time, so that only one is in memory in its parsed form.
fn decode_events(ingester: &Ingester, elements: &[&RawValue]) -> Result<DecodedRequest, Error> {
    let rejection_budget = RejectionBudget::for_unary();
    let mut decoder = ingester.decoder(0, String::new(), 0, &rejection_budget)?;
    let mut event = v1::Event::default();
    for (index, element) in (0_u32..).zip(elements) {
        match read_event(element, &mut event) {
            Ok(()) => decoder.push_event(index, &event),
            Err(error) => decoder.reject(index, error.field, error.reason),
        }
    }
    Ok(decoder.finish())
}

fn into_response(error: impl Into<Error>) -> Response {
    error.into().into_response()
}

fn is_json_content_type(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Splits the array into its elements without parsing them. Fails if there are more than [`MAX_SEND_EVENTS`].
fn parse_array(body: &[u8]) -> Result<Vec<&RawValue>, Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_seq(ArrayVisitor).and_then(|elements| reader.end().map(|()| elements));
    let (elements, count) = read.map_err(|error| {
        Error::invalid(format!(
            "the body is not a JSON array of events: {error}; send [{{\"event_name\": …}}, …]"
        ))
    })?;
    check_event_count(count, MAX_SEND_EVENTS, "POST /events", ", or use gRPC")?;
    Ok(elements)
}

/// Keeps the first [`MAX_SEND_EVENTS`] elements, and counts all.
struct ArrayVisitor;

impl<'a> Visitor<'a> for ArrayVisitor {
    type Value = (Vec<&'a RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < MAX_SEND_EVENTS {
            match sequence.next_element()? {
                Some(element) => elements.push(element),
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
fn max_columns_bytes(element: &RawValue) -> usize {
    const FIXED_COLUMN_BYTES: usize = 256;
    const PROMOTED_FACTOR: usize = 3;
    let text = element.get().len();
    FIXED_COLUMN_BYTES + PROMOTED_FACTOR * (6 * text).min(text + MAX_PROPERTIES_BYTES)
}

/// Parses an event into `event`, whose memory is reused.
fn read_event(element: &RawValue, event: &mut v1::Event) -> Result<(), EventJsonError> {
    let text = element.get();
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

/// For the fuzzer: handles a body like `POST /events`, without a writer. Returns the number of events, of accepted and of
/// rejected ones; `None` if the body is rejected as a whole.
#[doc(hidden)]
pub fn fuzz_post_events(
    body: &[u8],
    rules: &crate::event::ValidationRules,
    now_ms: i64,
) -> Option<[usize; 3]> {
    let elements = parse_array(body).ok()?;
    let (properties, project) =
        (crate::properties::Properties::built_in(), crate::project::Project::default());
    let mut columns = crate::writer::columns::EventColumns::new(&properties);
    let (mut accepted, mut rejected) = (0, 0);
    let (count, max_bytes) =
        (elements.len(), elements.iter().map(|element| max_columns_bytes(element)).sum());
    let mut event = v1::Event::default();
    for element in elements {
        let read = read_event(element, &mut event);
        match read.ok().and_then(|()| crate::event::validate(&event, rules, &properties, now_ms).ok()) {
            Some(valid) => {
                columns.push(&valid, &project, now_ms);
                accepted += 1;
            }
            None => rejected += 1,
        }
    }
    assert!(
        columns.size_bytes() <= max_bytes,
        "{} bytes of columns; the upper bound was {max_bytes}",
        columns.size_bytes()
    );
    Some([count, accepted, rejected])
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
                if let Some([elements, accepted, rejected]) = fuzz_post_events(body.as_bytes(), &rules, 0) {
                    proptest::prop_assert_eq!(accepted + rejected, elements);
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
        let raw = |text: String| RawValue::from_string(text).unwrap();
        let parse_event =
            |element: &RawValue| read_event(element, &mut v1::Event::default()).map_err(|error| error.reason);
        let many = raw(format!(r#"{{"event_name":"a","properties":{{"x":[{}0]}}}}"#, "0,".repeat(40_000)));
        assert!(parse_event(&many).unwrap_err().contains("40005 values"));
        let texts = raw(format!(r#"{{"event_name":"a","properties":{{"x":"{}\"{{"}}}}"#, ",".repeat(40_000)));
        assert!(parse_event(&texts).is_ok(), "separators in a string do not count");
        let long = raw(format!(r#"{{"event_name":"{}"}}"#, "a".repeat(300_000)));
        assert!(parse_event(&long).unwrap_err().contains("300017 bytes"));
    }

    #[test]
    fn only_json_content_types_are_accepted() {
        for (media_type, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/cloudevents-batch+json", true),
            ("text/plain", false),
            ("text/json", false),
            ("text/plain; application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type.parse().unwrap())]);
            assert_eq!(is_json_content_type(&headers), expected, "{media_type}");
        }
        assert!(!is_json_content_type(&HeaderMap::new()));
    }
}
