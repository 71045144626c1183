//! Validates events. Every handler calls [`validate`], so the same rules apply to gRPC and HTTP.

use std::borrow::Cow;
use std::time::Duration;

use serde::de::IgnoredAny;
use uuid::Uuid;

use crate::properties::{Properties, PropertyValue};
use crate::proto::v1;
use v1::event::PropertiesKind;

/// The longest `event_name`, in bytes.
pub const MAX_EVENT_NAME_BYTES: usize = 128;
/// The longest `session_id` or `user_id`, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// The largest `properties`, in bytes of JSON.
pub const MAX_PROPERTIES_BYTES: usize = 64 * 1024;
/// How deep `properties` may nest. Real events have fewer than ten levels; the limit protects readers of the column whose
/// JSON parser recurses.
pub(crate) const MAX_PROPERTIES_DEPTH: usize = 32;

/// How much of an invalid value the reason quotes, in bytes.
const MAX_QUOTED_BYTES: usize = 40;

/// The kind of device, as far as panels distinguish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceType {
    /// A desktop or laptop computer.
    Desktop,
    /// A phone.
    Mobile,
    /// A tablet.
    Tablet,
    /// Any other value, or none.
    Unknown,
}

impl DeviceType {
    /// Every kind, in the order of [`Self::index`].
    pub const ALL: [Self; 4] = [Self::Desktop, Self::Mobile, Self::Tablet, Self::Unknown];

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    fn parse(text: &str) -> Self {
        [Self::Desktop, Self::Mobile, Self::Tablet]
            .into_iter()
            .find(|device_type| text.eq_ignore_ascii_case(device_type.as_str()))
            .unwrap_or(Self::Unknown)
    }

    /// The value of the column `device_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Unknown => "unknown",
        }
    }
}

/// An event that passed validation. Only [`validate`] creates one.
#[derive(Debug, PartialEq)]
pub struct ValidEvent<'a> {
    event_name: &'a str,
    timestamp_ms: i64,
    session_id: &'a str,
    user_id: Option<&'a str>,
    device_type: DeviceType,
    country_code: [u8; 2],
    properties: Cow<'a, str>,
    /// Index and value of the promoted properties that the event has.
    promoted: Vec<(usize, PropertyValue<'a>)>,
    event_id: Option<Uuid>,
}

/// The fields of an event that is not validated yet, borrowed from a message or a JSON text.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventFields<'a> {
    pub event_name: &'a str,
    pub timestamp: Option<prost_types::Timestamp>,
    pub session_id: &'a str,
    pub user_id: &'a str,
    pub device_type: &'a str,
    pub country_code: &'a str,
    pub properties: PropertiesSource<'a>,
    pub event_id: &'a str,
}

/// `properties`, as the producer sent them.
#[derive(Clone, Copy, Debug, Default)]
pub enum PropertiesSource<'a> {
    #[default]
    None,
    /// A JSON text.
    Json(&'a str),
    /// A decoded object.
    Struct(&'a prost_types::Struct),
}

impl<'a> From<&'a v1::Event> for EventFields<'a> {
    fn from(event: &'a v1::Event) -> Self {
        Self {
            event_name: &event.event_name,
            timestamp: event.timestamp,
            session_id: &event.session_id,
            user_id: event.user_id.as_deref().unwrap_or(""),
            device_type: &event.device_type,
            country_code: &event.country_code,
            properties: match &event.properties_kind {
                None => PropertiesSource::None,
                Some(PropertiesKind::PropertiesJson(text)) => PropertiesSource::Json(text),
                Some(PropertiesKind::Properties(object)) => PropertiesSource::Struct(object),
            },
            event_id: event.event_id.as_deref().unwrap_or(""),
        }
    }
}

impl ValidEvent<'_> {
    /// 1 to [`MAX_EVENT_NAME_BYTES`] bytes without control characters.
    pub fn event_name(&self) -> &str {
        self.event_name
    }
    /// Milliseconds since 1970 UTC, by the producer's clock.
    pub fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }
    /// May be empty.
    pub fn session_id(&self) -> &str {
        self.session_id
    }
    /// `None` if the producer sent an empty one.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id
    }
    /// [`DeviceType::Unknown`] unless the producer sent one of the others.
    pub fn device_type(&self) -> DeviceType {
        self.device_type
    }
    /// Two upper-case letters; `ZZ` if the producer sent none.
    pub fn country_code(&self) -> [u8; 2] {
        self.country_code
    }
    /// A JSON object as text, at most [`MAX_PROPERTIES_BYTES`]; `{}` if the producer sent none.
    pub fn properties(&self) -> &str {
        &self.properties
    }
    /// The value of the promoted property with this index, if the event has it.
    pub fn promoted_value(&self, index: usize) -> Option<&PropertyValue<'_>> {
        self.promoted.iter().find(|(at, _)| *at == index).map(|(_, value)| value)
    }
    /// Releases the event, and returns its memory.
    pub(crate) fn into_buffer(self) -> PromotedBuffer {
        // Collecting no values into a Vec of the same layout keeps the allocation.
        PromotedBuffer(self.promoted.into_iter().map_while(|_| None).collect())
    }
    /// The id that the producer sent, if any.
    pub fn event_id(&self) -> Option<Uuid> {
        self.event_id
    }
}

/// Why an event is invalid.
#[derive(Debug, PartialEq, Eq)]
pub struct ValidationError {
    /// The invalid field.
    pub field: &'static str,
    /// What is wrong with its value and what is allowed. Follows the field's name in messages.
    pub reason: String,
}

/// The configurable rules.
#[derive(Clone, Copy, Debug)]
pub struct ValidationRules {
    /// Maximum age of an event (`RETENTION_DAYS`). ClickHouse would delete older ones right after the insert.
    pub retention: Duration,
    /// How far a timestamp may be in the future (`MILLRACE_MAX_CLOCK_SKEW_MS`).
    pub max_clock_skew: Duration,
}

/// Checks an event against the rules at the time `now_ms` (milliseconds since 1970 UTC). Returns the first violation.
/// `promoted` are the properties that are extracted meanwhile.
pub fn validate<'a>(
    event: impl Into<EventFields<'a>>,
    rules: &ValidationRules,
    promoted: &Properties,
    now_ms: i64,
) -> Result<ValidEvent<'a>, ValidationError> {
    validate_with(event, rules, promoted, now_ms, PromotedBuffer::default())
}

/// The memory of an event's promoted values, to be used for the next event.
#[derive(Debug, Default)]
pub(crate) struct PromotedBuffer(Vec<(usize, PropertyValue<'static>)>);

/// Like [`validate`], with the memory of an earlier event.
pub(crate) fn validate_with<'a>(
    event: impl Into<EventFields<'a>>,
    rules: &ValidationRules,
    promoted: &Properties,
    now_ms: i64,
    PromotedBuffer(buffer): PromotedBuffer,
) -> Result<ValidEvent<'a>, ValidationError> {
    let event = event.into();
    let event_name = validate_event_name(event.event_name)?;
    let mut valid = ValidEvent {
        event_name,
        timestamp_ms: validate_timestamp(event.timestamp.as_ref(), rules, now_ms)?,
        session_id: validate_id("session_id", event.session_id)?,
        user_id: match event.user_id {
            "" => None,
            user_id => Some(validate_id("user_id", user_id)?),
        },
        device_type: DeviceType::parse(event.device_type),
        country_code: parse_country_code(event.country_code)?,
        properties: Cow::Borrowed("{}"),
        promoted: buffer,
        event_id: match event.event_id {
            "" => None,
            event_id => Some(parse_event_id(event_id)?),
        },
    };
    match event.properties {
        PropertiesSource::None => {}
        PropertiesSource::Json(text) => {
            let text = validate_properties_json(text, event_name, promoted, &mut valid.promoted)?;
            valid.properties = Cow::Borrowed(text);
        }
        PropertiesSource::Struct(object) => {
            let mut text = String::new();
            write_struct(object, 1, &mut text)?;
            check_properties_size("properties", text.len())?;
            valid.properties = Cow::Owned(text);
            extract_from_struct(object, event_name, promoted, &mut valid.promoted);
        }
    }
    Ok(valid)
}

fn invalid<T>(field: &'static str, reason: impl Into<String>) -> Result<T, ValidationError> {
    Err(ValidationError { field, reason: reason.into() })
}

fn validate_event_name(name: &str) -> Result<&str, ValidationError> {
    if name.is_empty() {
        return invalid("event_name", "is missing; 1 to 128 bytes are required");
    }
    if name.len() > MAX_EVENT_NAME_BYTES {
        return invalid(
            "event_name",
            format!("{} has {} bytes; the limit is {MAX_EVENT_NAME_BYTES}", quoted(name), name.len()),
        );
    }
    if let Some(c) = name.chars().find(|c| c.is_control()) {
        return invalid(
            "event_name",
            format!("{} contains the control character U+{:04X}", quoted(name), u32::from(c)),
        );
    }
    Ok(name)
}

fn validate_timestamp(
    timestamp: Option<&prost_types::Timestamp>,
    rules: &ValidationRules,
    now_ms: i64,
) -> Result<i64, ValidationError> {
    let Some(timestamp) = timestamp else {
        return invalid("timestamp", "is missing; the time of the event is required");
    };
    if !(0..1_000_000_000).contains(&timestamp.nanos) {
        return invalid(
            "timestamp",
            format!("has {} nanoseconds; 0 to 999999999 are allowed", timestamp.nanos),
        );
    }
    let millis =
        timestamp.seconds.saturating_mul(1_000).saturating_add(i64::from(timestamp.nanos / 1_000_000));
    let latest = now_ms.saturating_add(whole_millis(rules.max_clock_skew));
    if millis > latest {
        return invalid(
            "timestamp",
            format!(
                "{} is in the future; the limit is {} s after the server's time, which is {}",
                format_timestamp(millis),
                rules.max_clock_skew.as_secs(),
                format_timestamp(now_ms)
            ),
        );
    }
    let earliest = now_ms.saturating_sub(whole_millis(rules.retention));
    if millis < earliest {
        return invalid(
            "timestamp",
            format!(
                "{} is older than the retention of {} days; the limit is {}",
                format_timestamp(millis),
                rules.retention.as_secs() / 86_400,
                format_timestamp(earliest)
            ),
        );
    }
    Ok(millis)
}

fn validate_id<'a>(field: &'static str, text: &'a str) -> Result<&'a str, ValidationError> {
    if text.len() > MAX_ID_BYTES {
        return invalid(
            field,
            format!("{} has {} bytes; the limit is {MAX_ID_BYTES}", quoted(text), text.len()),
        );
    }
    Ok(text)
}

fn parse_country_code(text: &str) -> Result<[u8; 2], ValidationError> {
    match *text.as_bytes() {
        [] => Ok(*b"ZZ"),
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
            Ok([a.to_ascii_uppercase(), b.to_ascii_uppercase()])
        }
        _ => {
            invalid("country_code", format!("{} is not an ISO 3166-1 alpha-2 code like \"ES\"", quoted(text)))
        }
    }
}

fn parse_event_id(text: &str) -> Result<Uuid, ValidationError> {
    match Uuid::try_parse(text) {
        Ok(id) => Ok(id),
        Err(error) => invalid("event_id", format!("{} is not a UUID: {error}", quoted(text))),
    }
}

/// Checks the text, and extracts the promoted properties in the same pass.
fn validate_properties_json<'a>(
    text: &'a str,
    event_name: &str,
    promoted: &Properties,
    found: &mut Vec<(usize, PropertyValue<'a>)>,
) -> Result<&'a str, ValidationError> {
    const FIELD: &str = "properties_json";
    check_properties_size(FIELD, text.len())?;
    let text = text.trim_ascii();
    if text.is_empty() {
        return Ok("{}");
    }
    if !text.starts_with('{') {
        return invalid(FIELD, format!("{} is not a JSON object", quoted(text)));
    }
    // The depth is checked first, because the parser recurses.
    // Almost every event has fewer brackets than levels are allowed, and counting them is much faster.
    let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    let depth = if brackets > MAX_PROPERTIES_DEPTH { nesting_depth(text) } else { 0 };
    if depth > MAX_PROPERTIES_DEPTH {
        return invalid(FIELD, format!("nests {depth} levels deep; the limit is {MAX_PROPERTIES_DEPTH}"));
    }
    match promoted.parse_and_extract(event_name, text, |index, value| found.push((index, value))) {
        Ok(()) => Ok(text),
        // A number that is too large for a column is valid JSON.
        Err(_) => {
            found.clear();
            match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => Ok(text),
                Err(error) => invalid(FIELD, format!("is not valid JSON: {error}")),
            }
        }
    }
}

fn extract_from_struct<'a>(
    object: &'a prost_types::Struct,
    event_name: &str,
    promoted: &Properties,
    found: &mut Vec<(usize, PropertyValue<'a>)>,
) {
    use prost_types::value::Kind;
    for (index, property) in promoted.iter().enumerate() {
        if !property.applies_to(event_name) {
            continue;
        }
        let value = match object.fields.get(property.key()).and_then(|value| value.kind.as_ref()) {
            Some(Kind::StringValue(text)) => property.text(text),
            Some(Kind::NumberValue(number)) => property.number(*number),
            _ => None,
        };
        found.extend(value.map(|value| (index, value)));
    }
}

fn check_properties_size(field: &'static str, bytes: usize) -> Result<(), ValidationError> {
    if bytes > MAX_PROPERTIES_BYTES {
        return invalid(field, format!("has {bytes} bytes of JSON; the limit is {MAX_PROPERTIES_BYTES}"));
    }
    Ok(())
}

/// The maximum depth of objects and arrays, counted without recursion. Exact for valid JSON.
fn nesting_depth(json: &str) -> usize {
    let (mut depth, mut max_depth) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                max_depth = max_depth.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    max_depth
}

/// Appends a `Struct` as JSON, sorted by key.
fn write_struct(object: &prost_types::Struct, depth: usize, out: &mut String) -> Result<(), ValidationError> {
    check_depth(depth)?;
    out.push('{');
    for (i, (key, value)) in object.fields.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write_value(value, depth, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_value(value: &prost_types::Value, depth: usize, out: &mut String) -> Result<(), ValidationError> {
    use prost_types::value::Kind;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => out.push_str("null"),
        Some(Kind::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Kind::StringValue(value)) => write_string(value, out),
        Some(Kind::NumberValue(value)) => write_number(*value, out)?,
        Some(Kind::StructValue(value)) => write_struct(value, depth + 1, out)?,
        Some(Kind::ListValue(list)) => {
            check_depth(depth + 1)?;
            out.push('[');
            for (i, value) in list.values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(value, depth + 1, out)?;
            }
            out.push(']');
        }
    }
    Ok(())
}

/// A `Struct` has only doubles. Whole ones are written as integers, which is what the producer most likely meant.
fn write_number(value: f64, out: &mut String) -> Result<(), ValidationError> {
    const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0; // 2^53 - 1: above it, doubles skip integers
    if !value.is_finite() {
        return invalid("properties", format!("contains {value}, which JSON cannot represent"));
    }
    if value.fract() == 0.0 && value.abs() <= MAX_SAFE_INTEGER {
        #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53 - 1")]
        let whole = value as i64;
        out.push_str(&whole.to_string());
    } else {
        out.push_str(&serde_json::Number::from_f64(value).map_or_else(String::new, |n| n.to_string()));
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn check_depth(depth: usize) -> Result<(), ValidationError> {
    if depth > MAX_PROPERTIES_DEPTH {
        return invalid("properties", format!("nests more than {MAX_PROPERTIES_DEPTH} levels deep"));
    }
    Ok(())
}

/// The value in quotes, truncated to [`MAX_QUOTED_BYTES`].
pub(crate) fn quoted(text: &str) -> String {
    let mut end = text.len().min(MAX_QUOTED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let ellipsis = if end < text.len() { "…" } else { "" };
    format!("{:?}{ellipsis}", &text[..end])
}

fn format_timestamp(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| format!("{millis} ms"), |t| t.to_string())
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;
    const RULES: ValidationRules = ValidationRules {
        retention: Duration::from_secs(90 * 86_400),
        max_clock_skew: Duration::from_secs(600),
    };

    fn event() -> v1::Event {
        v1::Event {
            event_name: "page_view".into(),
            timestamp: Some(at(NOW_MS)),
            session_id: "s".into(),
            ..Default::default()
        }
    }

    fn at(millis: i64) -> prost_types::Timestamp {
        prost_types::Timestamp {
            seconds: millis.div_euclid(1_000),
            nanos: i32::try_from(millis.rem_euclid(1_000)).unwrap() * 1_000_000,
        }
    }

    fn json(text: &str) -> v1::Event {
        v1::Event { properties_kind: Some(PropertiesKind::PropertiesJson(text.into())), ..event() }
    }

    fn number(value: f64) -> prost_types::Value {
        prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(value)) }
    }

    fn object(fields: Vec<(&str, prost_types::Value)>) -> v1::Event {
        let fields = fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        v1::Event {
            properties_kind: Some(PropertiesKind::Properties(prost_types::Struct { fields })),
            ..event()
        }
    }

    fn validation_error(event: &v1::Event) -> ValidationError {
        validate(event, &RULES, &Properties::built_in(), NOW_MS).expect_err("the event violates a rule")
    }

    #[test]
    fn missing_fields_get_defaults() {
        let event = event();
        let valid = validate(&event, &RULES, &Properties::built_in(), NOW_MS).unwrap();
        assert_eq!(valid.device_type(), DeviceType::Unknown);
        assert_eq!(valid.country_code(), *b"ZZ");
        assert_eq!(valid.properties(), "{}");
        assert_eq!((valid.user_id(), valid.event_id()), (None, None));
    }

    #[test]
    fn case_is_normalized_and_milliseconds_are_kept() {
        let event = v1::Event {
            device_type: "Mobile".into(),
            country_code: "es".into(),
            timestamp: Some(prost_types::Timestamp { seconds: NOW_MS / 1_000, nanos: 123_999_999 }),
            user_id: Some(String::new()),
            ..event()
        };
        let valid = validate(&event, &RULES, &Properties::built_in(), NOW_MS).unwrap();
        assert_eq!((valid.device_type(), valid.country_code()), (DeviceType::Mobile, *b"ES"));
        assert_eq!(valid.timestamp_ms(), NOW_MS + 123);
        assert_eq!(valid.user_id(), None, "an empty user_id counts as absent");
    }

    #[test]
    fn each_violation_names_its_field() {
        let cases = [
            (v1::Event { event_name: String::new(), ..event() }, "event_name", "missing"),
            (v1::Event { event_name: "x".repeat(129), ..event() }, "event_name", "129 bytes"),
            (v1::Event { event_name: "a\nb".into(), ..event() }, "event_name", "U+000A"),
            (v1::Event { timestamp: None, ..event() }, "timestamp", "missing"),
            (v1::Event { timestamp: Some(at(NOW_MS + 600_001)), ..event() }, "timestamp", "future"),
            (
                v1::Event { timestamp: Some(at(NOW_MS - 90 * 86_400_000 - 1)), ..event() },
                "timestamp",
                "90 days",
            ),
            (
                v1::Event {
                    timestamp: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
                    ..event()
                },
                "timestamp",
                "future",
            ),
            (
                v1::Event { timestamp: Some(prost_types::Timestamp { seconds: 1, nanos: -1 }), ..event() },
                "timestamp",
                "nanoseconds",
            ),
            (v1::Event { session_id: "s".repeat(257), ..event() }, "session_id", "257 bytes"),
            (v1::Event { user_id: Some("u".repeat(257)), ..event() }, "user_id", "257 bytes"),
            (v1::Event { country_code: "ESP".into(), ..event() }, "country_code", "\"ESP\""),
            (v1::Event { country_code: "4ß".into(), ..event() }, "country_code", "4ß"),
            (v1::Event { event_id: Some("abc".into()), ..event() }, "event_id", "\"abc\""),
            (json("[1]"), "properties_json", "not a JSON object"),
            (json("{\"a\":}"), "properties_json", "not valid JSON"),
            (json("{} {}"), "properties_json", "not valid JSON"),
            (
                json(&format!("{{\"a\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000))),
                "properties_json",
                "1001",
            ),
            (json(&format!("{{\"a\":\"{}\"}}", "x".repeat(70_000))), "properties_json", "70008 bytes"),
            (object(vec![("a", number(f64::NAN))]), "properties", "NaN"),
        ];
        for (event, field, part) in cases {
            let error = validation_error(&event);
            assert_eq!(error.field, field, "{error:?}");
            assert!(error.reason.contains(part), "{error:?} lacks {part:?}");
        }
    }

    #[test]
    fn limits_are_inclusive() {
        for millis in [NOW_MS + 600_000, NOW_MS - 90 * 86_400_000] {
            let event = v1::Event { timestamp: Some(at(millis)), ..event() };
            assert_eq!(
                validate(&event, &RULES, &Properties::built_in(), NOW_MS).unwrap().timestamp_ms(),
                millis
            );
        }
        let levels = MAX_PROPERTIES_DEPTH - 1;
        let deep = json(&format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels)));
        assert!(validate(&deep, &RULES, &Properties::built_in(), NOW_MS).is_ok());
    }

    #[test]
    fn brackets_in_strings_do_not_count_as_nesting() {
        assert_eq!(nesting_depth(r#"{"a":"[[[\"{{{","b":[1]}"#), 2);
    }

    #[test]
    fn a_struct_is_serialized_as_json() {
        let event = object(vec![
            (
                "text",
                prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("a\"b\u{1}".into())) },
            ),
            ("whole", number(1_234.0)),
            ("part", number(0.5)),
        ]);
        let valid = validate(&event, &RULES, &Properties::built_in(), NOW_MS).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(valid.properties()).unwrap();
        assert_eq!(parsed, serde_json::json!({"text": "a\"b\u{1}", "whole": 1234, "part": 0.5}));
    }
}
