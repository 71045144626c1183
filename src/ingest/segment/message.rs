//! From a message of Segment's tracking API to an event.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::ingest::object::from_object;
use crate::ingest::user_agent::UserAgent;
use crate::proto::v1;
use v1::event::PropertiesKind;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Track,
    Page,
    Screen,
    Identify,
    Group,
    Alias,
}

impl Kind {
    /// The event's name; that of a track call is its own.
    fn event_name(self) -> &'static str {
        match self {
            Self::Track => "",
            Self::Page => "page_view",
            Self::Screen => "screen_view",
            Self::Identify => "identify",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }
}

/// What the messages of a request have in common.
pub(super) struct MessageContext<'a> {
    /// The kind of the call; `None` if each message has its own.
    pub(super) kind: Option<Kind>,
    pub(super) received_at: Timestamp,
    /// `sentAt` of the batch.
    pub(super) sent_at: Option<&'a Value>,
    /// `context` of the batch.
    pub(super) context: Option<&'a Value>,
    /// The namespace of ids from a `messageId` that is not a UUID.
    pub(super) message_ids: Uuid,
}

/// Why a message is not an event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub(super) struct MessageError {
    /// The invalid field; empty if it is in the reason.
    pub(super) field: &'static str,
    pub(super) reason: String,
}

/// The fields that are mapped. Others are ignored.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Message {
    r#type: Option<Kind>,
    message_id: Option<String>,
    event: Option<String>,
    name: Option<String>,
    category: Option<String>,
    /// Some libraries send ids as numbers.
    user_id: Value,
    anonymous_id: Value,
    previous_id: Value,
    group_id: Value,
    properties: Option<Map<String, Value>>,
    traits: Option<Map<String, Value>>,
    context: Value,
    timestamp: Option<String>,
    sent_at: Value,
}

/// Property, and where it is in `context`. The first value that is there counts.
const FROM_CONTEXT: [(&str, &[&str]); 22] = [
    ("page_url", &["/page/path", "/page/url"]),
    ("page_title", &["/page/title"]),
    ("referrer", &["/page/referrer", "/referrer/url"]),
    ("utm_source", &["/campaign/source"]),
    ("utm_medium", &["/campaign/medium"]),
    ("utm_campaign", &["/campaign/name"]),
    ("utm_term", &["/campaign/term"]),
    ("utm_content", &["/campaign/content"]),
    ("os", &["/os/name"]),
    ("os_version", &["/os/version"]),
    ("device_model", &["/device/model"]),
    ("device_manufacturer", &["/device/manufacturer"]),
    ("app_name", &["/app/name"]),
    ("app_version", &["/app/version"]),
    ("app_build", &["/app/build"]),
    ("locale", &["/locale"]),
    ("timezone", &["/timezone"]),
    ("screen_width", &["/screen/width"]),
    ("screen_height", &["/screen/height"]),
    ("network_carrier", &["/network/carrier"]),
    ("city", &["/location/city"]),
    ("group_id", &["/groupId"]),
];

/// Maps a message. The event is not validated yet.
///
/// # Errors
/// Invalid JSON, a field of another type, or an invalid time.
pub(super) fn to_event(json: &str, common: &MessageContext<'_>) -> Result<v1::Event, MessageError> {
    let mut message: Message = from_object(json.as_bytes())
        .map_err(|error| MessageError { field: "", reason: format!("is not a message: {error}") })?;
    let Some(kind) = common.kind.or(message.r#type) else {
        let reason = "is missing; use track, page, screen, identify, group or alias".to_owned();
        return Err(MessageError { field: "type", reason });
    };
    let own_context = std::mem::take(&mut message.context);
    let context = if own_context.is_object() { &own_context } else { common.context.unwrap_or(&Value::Null) };
    let text = |pointer: &str| context.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let agent = UserAgent::parse(text("/userAgent"));
    let timestamp = timestamp(&message, common)?;
    Ok(v1::Event {
        event_name: match kind {
            Kind::Track => message.event.take().unwrap_or_default(),
            _ => kind.event_name().to_owned(),
        },
        timestamp: Some(crate::proto::timestamp_from_millis(timestamp.as_millisecond())),
        session_id: id_text(&message.anonymous_id),
        user_id: Some(id_text(&message.user_id)),
        device_type: device_type(text("/device/type"), context, agent).to_owned(),
        country_code: country_code(text("/location/country")),
        event_id: message.message_id.as_deref().and_then(|id| event_id(id, common.message_ids)),
        properties_kind: Some(PropertiesKind::PropertiesJson(
            Value::Object(properties(kind, message, context, agent)).to_string(),
        )),
    })
}

/// An id as text; empty if it is missing or neither text nor number.
fn id_text(id: &Value) -> String {
    match id {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn event_id(message_id: &str, namespace: Uuid) -> Option<String> {
    if message_id.is_empty() {
        return None;
    }
    let id = Uuid::try_parse(message_id).unwrap_or_else(|_| Uuid::new_v5(&namespace, message_id.as_bytes()));
    Some(id.to_string())
}

/// The time of the message by the server's clock: the sender's clock may be wrong, but by the same amount when it sends.
fn timestamp(message: &Message, common: &MessageContext<'_>) -> Result<Timestamp, MessageError> {
    let Some(text) = &message.timestamp else { return Ok(common.received_at) };
    let timestamp: Timestamp = text.parse().map_err(|_| MessageError {
        field: "timestamp",
        reason: format!(
            "{} is invalid; use RFC 3339, like \"2026-11-21T10:00:00.5Z\"",
            crate::event::quoted(text)
        ),
    })?;
    let sent_at = message.sent_at.as_str().or_else(|| common.sent_at.and_then(Value::as_str));
    let Some(sent_at) = sent_at.and_then(|text| text.parse::<Timestamp>().ok()) else { return Ok(timestamp) };
    // A result that no clock can show is rejected with the time as it was sent.
    Ok(common.received_at.checked_sub(sent_at.duration_since(timestamp)).unwrap_or(timestamp))
}

fn device_type<'a>(device: &'a str, context: &Value, agent: UserAgent) -> &'a str {
    match device.to_ascii_lowercase().as_str() {
        "ios" | "android" if agent.device_type == "tablet" => "tablet",
        "ios" | "android" => "mobile",
        "" if context.pointer("/userAgentData/mobile") == Some(&Value::Bool(true)) => "mobile",
        "" => agent.device_type,
        _ => device,
    }
}

/// Only codes: some libraries send names of countries.
fn country_code(country: &str) -> String {
    let is_code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_code { country.to_owned() } else { String::new() }
}

/// The message's own properties, and those of its context under names that it does not use itself.
fn properties(kind: Kind, message: Message, context: &Value, agent: UserAgent) -> Map<String, Value> {
    let own = match kind {
        Kind::Identify | Kind::Group => message.traits,
        _ => message.properties,
    };
    let mut properties = own.unwrap_or_default();
    if matches!(kind, Kind::Page | Kind::Screen) {
        add(&mut properties, "name", message.name.map(Value::String));
        add(&mut properties, "category", message.category.map(Value::String));
    }
    if kind == Kind::Page {
        // Before the page of the context, which is the same or missing.
        for own in ["path", "url"] {
            let value = properties.get(own).cloned();
            add(&mut properties, "page_url", value);
        }
    }
    add(&mut properties, "group_id", Some(id_text(&message.group_id).into()));
    add(&mut properties, "previous_id", Some(id_text(&message.previous_id).into()));
    for (name, pointers) in FROM_CONTEXT {
        for pointer in pointers {
            add(&mut properties, name, context.pointer(pointer).cloned());
        }
    }
    add(&mut properties, "browser", Some(agent.browser.into()));
    add(&mut properties, "os", Some(agent.os.into()));
    properties
}

/// Adds a text or number that is not empty, unless the property has a value.
fn add(properties: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    let is_empty = |value: &Value| value.is_null() || value.as_str() == Some("");
    if let Some(value @ (Value::String(_) | Value::Number(_))) = value
        && !is_empty(&value)
        && properties.get(name).is_none_or(is_empty)
    {
        properties.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-11-21T10:00:10Z";

    fn common(kind: Option<Kind>) -> MessageContext<'static> {
        let (received_at, message_ids) = (NOW.parse().unwrap(), Uuid::from_u128(7));
        MessageContext { kind, received_at, sent_at: None, context: None, message_ids }
    }

    fn event(message: Value) -> (v1::Event, Value) {
        let mut event = to_event(&message.to_string(), &common(None)).unwrap();
        let Some(PropertiesKind::PropertiesJson(text)) = event.properties_kind.take() else { panic!() };
        (event, serde_json::from_str(&text).unwrap())
    }

    fn time(event: &v1::Event) -> String {
        let timestamp = event.timestamp.unwrap();
        Timestamp::new(timestamp.seconds, timestamp.nanos).unwrap().to_string()
    }

    #[test]
    fn a_page_call_of_a_browser_is_a_page_view() {
        let (event, properties) = event(json!({
            "type": "page",
            "messageId": "ajs-next-1732000000000-67f1a6bb",
            "anonymousId": "f1d2", "userId": 17,
            "timestamp": "2026-11-21T10:00:05.000Z",
            "category": "shop", "integrations": {}, "writeKey": "x",
            "properties": { "path": "/pricing", "url": "https://shop.example/pricing?a=1", "referrer": "", "n": 1.5 },
            "context": {
                "page": { "path": "/other", "referrer": "https://www.example.org/x", "title": "Prices" },
                "campaign": { "name": "autumn", "source": "Newsletter" },
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "locale": "es-ES", "ip": "10.0.0.1", "location": { "country": "ES" }, "screen": { "width": 1920 },
            },
        }));
        assert_eq!((event.event_name.as_str(), event.session_id.as_str()), ("page_view", "f1d2"));
        assert_eq!((event.user_id.as_deref(), event.country_code.as_str()), (Some("17"), "ES"));
        assert_eq!((event.device_type.as_str(), time(&event).as_str()), ("desktop", "2026-11-21T10:00:05Z"));
        let id = Uuid::new_v5(&Uuid::from_u128(7), b"ajs-next-1732000000000-67f1a6bb").to_string();
        assert_eq!(event.event_id.as_deref(), Some(id.as_str()));
        assert_eq!(
            properties,
            json!({
                "path": "/pricing", "url": "https://shop.example/pricing?a=1", "referrer": "https://www.example.org/x",
                "n": 1.5, "category": "shop", "page_url": "/pricing", "page_title": "Prices", "utm_campaign": "autumn",
                "utm_source": "Newsletter", "locale": "es-ES", "screen_width": 1920, "browser": "Firefox", "os": "Linux",
            })
        );
    }

    #[test]
    fn every_kind_has_a_name_and_its_own_properties() {
        for (message, name, expected) in [
            (
                json!({ "type": "track", "event": "Order Completed", "properties": { "os": "mine" }, "context": { "os": { "name": "iOS" } } }),
                "Order Completed",
                json!({ "os": "mine" }),
            ),
            (json!({ "type": "screen", "name": "Home" }), "screen_view", json!({ "name": "Home" })),
            (
                json!({ "type": "identify", "traits": { "plan": "pro" } }),
                "identify",
                json!({ "plan": "pro" }),
            ),
            (
                json!({ "type": "group", "groupId": 5, "traits": { "name": "ACME" } }),
                "group",
                json!({ "name": "ACME", "group_id": "5" }),
            ),
            (
                json!({ "type": "alias", "previousId": "old", "userId": "new" }),
                "alias",
                json!({ "previous_id": "old" }),
            ),
        ] {
            let (event, properties) = event(message);
            assert_eq!((event.event_name.as_str(), &properties), (name, &expected));
            assert_eq!(time(&event), NOW, "without a timestamp, when it was received");
        }
    }

    #[test]
    fn the_time_of_sending_corrects_the_clock() {
        let sent = |timestamp: &str, sent_at: Value| {
            let message = json!({ "type": "track", "timestamp": timestamp, "sentAt": sent_at });
            time(&event(message).0)
        };
        // An hour ahead, five seconds before it was sent.
        assert_eq!(sent("2026-11-21T11:00:00Z", json!("2026-11-21T11:00:05Z")), "2026-11-21T10:00:05Z");
        assert_eq!(sent("2026-11-21T12:00:00+02:00", json!("2026-11-21T09:00:00Z")), "2026-11-21T11:00:10Z");
        for unusable in [json!(null), json!("yesterday"), json!(5)] {
            assert_eq!(sent("2026-11-21T09:00:00Z", unusable), "2026-11-21T09:00:00Z");
        }
        let of_batch = json!("2026-11-21T11:00:05Z");
        let common = MessageContext { sent_at: Some(&of_batch), ..common(None) };
        let event = to_event(r#"{"type":"track","timestamp":"2026-11-21T11:00:00Z"}"#, &common).unwrap();
        assert_eq!(time(&event), "2026-11-21T10:00:05Z");
    }

    #[test]
    fn the_kind_of_device_follows_from_device_or_agent() {
        const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15";
        for (context, expected) in [
            (json!({ "device": { "type": "ios" } }), "mobile"),
            (json!({ "device": { "type": "ios" }, "userAgent": IPAD }), "tablet"),
            (json!({ "device": { "type": "Tablet" } }), "Tablet"),
            (json!({ "userAgentData": { "mobile": true } }), "mobile"),
            (json!({ "userAgent": IPAD }), "tablet"),
            (json!("nonsense"), ""),
        ] {
            assert_eq!(event(json!({ "type": "track", "context": context })).0.device_type, expected);
        }
    }

    #[test]
    fn what_is_not_a_message_is_rejected_with_the_reason() {
        for (json, field, part) in [
            (json!({ "event": "a" }), "type", "missing"),
            (json!({ "type": "delete" }), "", "unknown variant `delete`"),
            (json!({ "type": "track", "timestamp": "soon" }), "timestamp", "\"soon\" is invalid"),
            (json!({ "type": "track", "properties": [] }), "", "a map"),
            (json!(5), "", "is not a message"),
            (json!(["track", "m-1"]), "", "an object is expected"),
        ] {
            let error = to_event(&json.to_string(), &common(None)).unwrap_err();
            assert!(error.field == field && error.reason.contains(part), "{json}: {error}");
        }
    }
}
