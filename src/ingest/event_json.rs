//! An event in the JSON form of the contract: field names in snake_case or lowerCamelCase, `timestamp` as RFC 3339, `properties`
//! as an object. `null` counts as absent, and an unknown field is an error.
//!
//! The text of `properties` is kept as it was sent. Only its validity is checked, so that nothing is allocated per value.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::{MAX_PROPERTIES_BYTES, MAX_PROPERTIES_DEPTH};
use crate::proto::v1;
use v1::event::PropertiesKind;

/// Why JSON is not an event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub(super) struct EventJsonError {
    /// The invalid field; empty if it is in the reason.
    pub(super) field: &'static str,
    pub(super) reason: String,
}

/// Parses `json` into `event`, whose old contents are overwritten. Its memory is reused.
///
/// # Errors
/// Invalid JSON, an unknown field, a value of the wrong type, or properties that exceed a limit. The text has line and column.
pub(super) fn parse_event_json(json: &str, event: &mut v1::Event) -> Result<(), EventJsonError> {
    let properties = match parse(json, event, PropertiesMode::Keep) {
        Ok(properties) => properties,
        // The validity of the properties is checked apart, where positions are those within them. Here they are in the event.
        Err(error) => {
            let error = parse(json, event, PropertiesMode::Check).err().unwrap_or(error);
            return Err(EventJsonError { field: "", reason: error.to_string() });
        }
    };
    let Some((text, depth)) = properties else { return Ok(()) };
    let invalid = |reason| Err(EventJsonError { field: "properties", reason });
    if depth > MAX_PROPERTIES_DEPTH {
        return invalid(format!("nests more than {MAX_PROPERTIES_DEPTH} levels deep"));
    }
    let text = if text.len() > MAX_PROPERTIES_BYTES { without_whitespace(text) } else { text.to_owned() };
    if text.len() > MAX_PROPERTIES_BYTES {
        return invalid(format!("has {} bytes of JSON; the limit is {MAX_PROPERTIES_BYTES}", text.len()));
    }
    event.properties_kind = Some(PropertiesKind::PropertiesJson(text));
    Ok(())
}

/// The shortest form of valid JSON.
fn without_whitespace(json: &str) -> String {
    serde_json::from_str(json).map_or_else(|_| json.to_owned(), |value: serde_json::Value| value.to_string())
}

fn parse<'a>(
    json: &'a str,
    event: &mut v1::Event,
    properties: PropertiesMode,
) -> Result<Option<(&'a str, usize)>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let properties = reader.deserialize_map(EventVisitor { event, properties })?;
    reader.end()?;
    Ok(properties)
}

/// How the value of `properties` is read.
#[derive(Clone, Copy)]
enum PropertiesMode {
    /// Its text is returned.
    Keep,
    /// It is checked in place, so that an error has the position in the event.
    Check,
}

/// Returns the text of the properties and how deep they nest, if they are given as an object.
struct EventVisitor<'e> {
    event: &'e mut v1::Event,
    properties: PropertiesMode,
}

impl<'de> Visitor<'de> for EventVisitor<'_> {
    type Value = Option<(&'de str, usize)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event: an object with event_name, timestamp, …")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { event, properties: mode } = self;
        for text in
            [&mut event.event_name, &mut event.session_id, &mut event.device_type, &mut event.country_code]
        {
            text.clear();
        }
        (event.timestamp, event.user_id, event.event_id, event.properties_kind) = (None, None, None, None);
        let mut properties = None;
        while let Some(name) = map.next_key_seed(FieldName)? {
            match &*name {
                "event_name" | "eventName" => map.next_value_seed(Text(&mut event.event_name))?,
                "timestamp" => {
                    if let Some(timestamp) = map.next_value_seed(Optional(Timestamp))? {
                        event.timestamp = Some(timestamp);
                    }
                }
                "session_id" | "sessionId" => map.next_value_seed(Text(&mut event.session_id))?,
                "user_id" | "userId" => read_once(&mut map, "user_id", &mut event.user_id)?,
                "device_type" | "deviceType" => map.next_value_seed(Text(&mut event.device_type))?,
                "country_code" | "countryCode" => map.next_value_seed(Text(&mut event.country_code))?,
                "properties" => {
                    let given = event.properties_kind.is_some() || properties.is_some();
                    let value = match mode {
                        PropertiesMode::Keep => map.next_value_seed(Optional(CheckedObject))?,
                        PropertiesMode::Check => {
                            map.next_value_seed(Optional(ObjectDepth))?.map(|depth| ("", depth))
                        }
                    };
                    if let Some(value) = value {
                        reject_second_properties(given)?;
                        properties = Some(value);
                    }
                }
                "properties_json" | "propertiesJson" => {
                    let given = event.properties_kind.is_some() || properties.is_some();
                    if let Some(text) = map.next_value::<Option<String>>()? {
                        reject_second_properties(given)?;
                        event.properties_kind = Some(PropertiesKind::PropertiesJson(text));
                    }
                }
                "event_id" | "eventId" => read_once(&mut map, "event_id", &mut event.event_id)?,
                unknown => return Err(A::Error::custom(unknown_field(unknown))),
            }
        }
        Ok(properties)
    }
}

fn unknown_field(name: &str) -> String {
    format!(
        "unrecognized field name '{name}'; an event has event_name, timestamp, session_id, user_id, device_type, \
         country_code, properties, properties_json and event_id, and further values belong into properties"
    )
}

fn reject_second_properties<E: serde::de::Error>(given: bool) -> Result<(), E> {
    if given {
        return Err(E::custom("properties are given twice; send either properties or properties_json, once"));
    }
    Ok(())
}

/// Reads an optional field of the contract, which may be given once.
fn read_once<'de, A: MapAccess<'de>>(
    map: &mut A,
    name: &str,
    field: &mut Option<String>,
) -> Result<(), A::Error> {
    if let Some(text) = map.next_value::<Option<String>>()?
        && field.replace(text).is_some()
    {
        return Err(A::Error::custom(format!("{name} is given twice")));
    }
    Ok(())
}

/// A field name, borrowed unless it has escapes.
struct FieldName;

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for FieldName {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// `null`, or what the seed reads.
struct Optional<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Optional<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Optional<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null or a value")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// Reads a text into memory that exists; `null` leaves it as it is.
struct Text<'t>(&'t mut String);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.clear();
        self.0.push_str(text);
        Ok(())
    }
}

/// Reads an RFC 3339 timestamp.
struct Timestamp;

impl<'de> DeserializeSeed<'de> for Timestamp {
    type Value = prost_types::Timestamp;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Timestamp {
    type Value = prost_types::Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 timestamp like \"2026-11-21T10:00:00.5Z\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let timestamp: Option<prost_types::Timestamp> =
            if is_rfc3339(text.as_bytes()) { text.parse().ok() } else { None };
        timestamp.filter(|timestamp| TIMESTAMP_SECONDS.contains(&timestamp.seconds)).ok_or_else(|| {
            E::custom(format!(
                "timestamp {} is invalid; use RFC 3339, like \"2026-11-21T10:00:00.5Z\"",
                crate::event::quoted(text)
            ))
        })
    }
}

/// The seconds of the years 1 to 9999, which the contract allows.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Whether a text has the form `YYYY-MM-DDTHH:MM:SS`, with an optional fraction, and `Z` or an offset. prost's parser accepts
/// more, like a date alone.
fn is_rfc3339(text: &[u8]) -> bool {
    let matches = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text.iter().zip(form).all(|(byte, expected)| match expected {
                b'0' => byte.is_ascii_digit(),
                b'+' => matches!(byte, b'+' | b'-'),
                _ => byte == expected,
            })
    };
    let Some((time, mut rest)) = text.split_at_checked(19) else { return false };
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    matches(time, b"0000-00-00T00:00:00") && (rest == b"Z" || matches(rest, b"+00:00"))
}

/// An object of properties: its text, and how deep it nests.
struct CheckedObject;

impl<'de> DeserializeSeed<'de> for CheckedObject {
    type Value = (&'de str, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let raw: &'de RawValue = serde::Deserialize::deserialize(deserializer)?;
        // Skipping a value accepts numbers that are too large and strings that are not Unicode.
        let mut reader = serde_json::Deserializer::from_str(raw.get());
        let depth = ObjectDepth.deserialize(&mut reader).map_err(D::Error::custom)?;
        Ok((raw.get(), depth))
    }
}

/// Checks an object of properties without keeping it. Returns how deep it nests, at least 1.
struct ObjectDepth;

impl<'de> DeserializeSeed<'de> for ObjectDepth {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectDepth {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of properties")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut depth = 0;
        while map.next_key_seed(ValueDepth)?.is_some() {
            depth = depth.max(map.next_value_seed(ValueDepth)?);
        }
        Ok(depth + 1)
    }
}

/// Checks any value without keeping it. Returns how deep it nests: 0 for a scalar.
struct ValueDepth;

impl<'de> DeserializeSeed<'de> for ValueDepth {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueDepth {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_bool<E>(self, _: bool) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_str<E>(self, _: &str) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut depth = 0;
        while let Some(value) = list.next_element_seed(Self)? {
            depth = depth.max(value);
        }
        Ok(depth + 1)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<usize, A::Error> {
        ObjectDepth.visit_map(map)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::event::{ValidationRules, validate};
    use crate::proto::json::from_json;

    const NOW_MS: i64 = 1_800_000_000_000;

    /// A number as text, in the forms that JSON has.
    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            "-?(0|[1-9][0-9]{0,14})",
            "-?[1-9]\\.[0-9]{1,9}",
            "-?[1-9](\\.[0-9]{1,3})?[eE][-+]?[0-9]{1,3}"
        ]
    }

    fn json_value() -> impl Strategy<Value = String> {
        let string = prop_oneof![
            "[a-zü \u{1F600}]{0,6}".prop_map(|text| serde_json::json!(text).to_string()),
            "(\\\\u[0-9a-f]{4}|\\\\n|\\\\\"|a){0,3}".prop_map(|text| format!("\"{text}\"")),
        ];
        let scalar = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), number(), string];
        scalar.prop_recursive(40, 60, 3, |value| {
            prop_oneof![
                proptest::collection::vec(value.clone(), 0..3)
                    .prop_map(|list| format!("[ {}]", list.join(" ,"))),
                proptest::collection::vec(("[a-c]", value), 0..3).prop_map(|fields| {
                    let fields: Vec<_> =
                        fields.into_iter().map(|(name, value)| format!("\"{name}\" :\t{value}")).collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    /// A field as text: mostly of the contract, with a value that mostly fits.
    fn field() -> impl Strategy<Value = String> {
        let name = proptest::sample::select(vec![
            "event_name",
            "eventName",
            "timestamp",
            "session_id",
            "sessionId",
            "user_id",
            "userId",
            "device_type",
            "deviceType",
            "country_code",
            "countryCode",
            "properties",
            "properties_json",
            "propertiesJson",
            "event_id",
            "eventId",
            "colour",
            "event\\u005fname",
        ]);
        let time = "20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|[-+][0-9]{2}:[0-9]{2}|z)?";
        let time = prop_oneof![time, Just("2026-11-21T10:00:00.5Z".to_owned())];
        (name, json_value(), time, "[a-z]{0,4}", 0..8).prop_map(|(name, any, time, text, kind)| {
            let value = match (name, kind) {
                (_, 0) => any,
                (_, 1) => "null".to_owned(),
                ("timestamp", _) => format!("\"{time}\""),
                ("properties", _) => format!("{{\"a\" : {any}}}"),
                ("properties_json" | "propertiesJson", _) => {
                    serde_json::json!(format!("{{\"a\":{any}}}")).to_string()
                }
                _ => format!("\"{text}\""),
            };
            format!("\"{name}\": {value}")
        })
    }

    /// Numbers as doubles, which a `Struct` has.
    fn with_doubles(value: Value) -> Value {
        match value {
            Value::Number(number) => serde_json::json!(number.as_f64()),
            Value::Array(list) => list.into_iter().map(with_doubles).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (name, with_doubles(value))).collect()
            }
            scalar => scalar,
        }
    }

    /// What is stored: everything but the properties, and those.
    fn stored(event: &v1::Event) -> Option<(v1::Event, Value)> {
        let rules = ValidationRules {
            retention: std::time::Duration::from_secs(1 << 33),
            max_clock_skew: std::time::Duration::from_secs(1 << 33),
        };
        let named = v1::Event {
            event_name: "a".into(),
            country_code: String::new(),
            event_id: None,
            ..event.clone()
        };
        let named = v1::Event { timestamp: Some(event.timestamp.unwrap_or_default()), ..named };
        let valid = validate(&named, &rules, &crate::properties::Properties::built_in(), NOW_MS).ok()?;
        // `properties_json` may have numbers beyond doubles; it is the same text either way.
        let properties =
            serde_json::from_str(valid.properties()).map_or_else(|_| valid.properties().into(), with_doubles);
        Some((v1::Event { properties_kind: None, ..event.clone() }, properties))
    }

    fn assert_same_as_reflected(json: &str) -> Result<(), TestCaseError> {
        // A used event: nothing of it may remain.
        let mut typed = v1::Event {
            event_name: "old".into(),
            session_id: "old".into(),
            user_id: Some("old".into()),
            device_type: "old".into(),
            country_code: "old".into(),
            ..Default::default()
        };
        let result = parse_event_json(json, &mut typed);
        let reflected = from_json::<v1::Event>("Event", json);
        match (&result, &reflected) {
            (Ok(()), Ok(reflected)) => prop_assert_eq!(stored(&typed), stored(reflected), "{}", json),
            // A limit on the properties, which the reflected form is checked for by `validate`.
            (Err(error), Ok(reflected)) => {
                prop_assert!(
                    error.field == "properties" && stored(reflected).is_none(),
                    "{}: {}",
                    json,
                    error
                );
            }
            (Ok(()), Err(error)) => prop_assert!(false, "{json}: the reflected message has {error}"),
            (Err(_), Err(_)) => {}
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn an_event_is_the_same_as_through_the_reflected_message(fields in proptest::collection::vec(field(), 0..7)) {
            assert_same_as_reflected(&format!("{{{}}}", fields.join(", ")))?;
        }

        #[test]
        fn a_single_field_is_the_same_as_through_the_reflected_message(field in field()) {
            assert_same_as_reflected(&format!("{{{field}}}"))?;
        }

        #[test]
        fn what_is_not_an_event_is_rejected_like_the_reflected_message(json in prop_oneof![json_value(), ".{0,20}"]) {
            assert_same_as_reflected(&json)?;
        }
    }

    #[test]
    fn properties_at_the_limits_are_the_same_as_through_the_reflected_message() {
        for levels in [1, 31, 32, 33, 126, 127, 128, 500] {
            let list = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            assert_same_as_reflected(&format!(r#"{{"properties":{{"a":{list}}}}}"#)).unwrap();
        }
        for (bytes, spaces) in [(65_528, 0), (65_529, 0), (65_000, 2_000)] {
            let json = format!(r#"{{"properties":{{"a":{}"{}"}}}}"#, " ".repeat(spaces), "x".repeat(bytes));
            assert_same_as_reflected(&json).unwrap();
        }
    }

    #[test]
    fn properties_are_kept_as_they_were_sent() {
        let mut event = v1::Event::default();
        parse_event_json(r#"{"properties": {"b": 12345678901234567890, "a":  1.50} }"#, &mut event).unwrap();
        let text = r#"{"b": 12345678901234567890, "a":  1.50}"#.to_owned();
        assert_eq!(event.properties_kind, Some(PropertiesKind::PropertiesJson(text)));
    }

    #[test]
    fn an_error_names_the_field_the_value_and_the_way_out() {
        for (json, parts) in [
            (r#"{"name": "a"}"#, &["'name'", "event_name", "line 1"][..]),
            (r#"{"timestamp": "today"}"#, &["timestamp", "\"today\"", "2026-11-21T10:00:00.5Z", "line 1"]),
            (r#"{"timestamp": 5}"#, &["`5`", "RFC 3339 timestamp", "line 1"]),
            (r#"{"event_name": 5}"#, &["`5`", "a string", "line 1"]),
            ("{\"properties\":\n[1]}", &["sequence", "an object of properties", "line 2"]),
            ("{\"properties\":\n{\"a\": 1e999}}", &["number out of range", "line 2"]),
            (r#"{"properties": {}, "properties_json": "{}"}"#, &["properties", "twice", "either"]),
            (r#"{"user_id": "a", "userId": "b"}"#, &["user_id is given twice"]),
            ("[1]", &["sequence", "an event"]),
        ] {
            let error = parse_event_json(json, &mut v1::Event::default()).unwrap_err();
            for part in parts {
                assert!(error.reason.contains(part), "{json}: {:?} lacks {part:?}", error.reason);
            }
        }
    }
}
