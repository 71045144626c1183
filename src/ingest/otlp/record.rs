//! From a log record of OpenTelemetry to an event.

use base64::Engine as _;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::ingest::user_agent::UserAgent;
use crate::proto::otlp::common::v1::{AnyValue, KeyValue, any_value};
use crate::proto::otlp::logs::v1::LogRecord;
use crate::proto::otlp::resource::v1 as resource;
use crate::proto::v1;
use v1::event::PropertiesKind;

/// Of event ids that are derived from a `log.record.uid` that is not a UUID. Random.
pub(super) const RECORD_IDS: Uuid = Uuid::from_u128(0x1d7a_3c90_46ef_4b52_9e38_c0b4_71f5_2a6d);
/// The attributes that are fields of an event, in the order in which they count. They are not properties.
const EVENT_NAME: &[&str] = &["event.name"];
const SESSION_ID: &[&str] = &["session.id"];
const USER_ID: &[&str] = &["user.id", "enduser.id"];
const COUNTRY_CODE: &[&str] =
    &["geo.country.iso_code", "client.geo.country.iso_code", "client.geo.country_iso_code"];
const EVENT_ID: &[&str] = &["log.record.uid"];
/// The properties of the built-in dimensions, and the attributes that they are copied from.
const PROPERTIES: [(&str, &[&str]); 5] = [
    ("page_url", &["url.path", "url.full"]),
    ("referrer", &["http.request.header.referer"]),
    ("browser", &["browser.name", "user_agent.name"]),
    ("os", &["os.name"]),
    ("service_name", &["service.name"]),
];
const USER_AGENT: &[&str] = &["user_agent.original", "browser.user_agent"];
/// The attributes of a resource that are used if the record does not have them.
const OF_RESOURCE: [&str; 8] = [
    "service.name",
    "session.id",
    "user.id",
    "os.name",
    "browser.name",
    "user_agent.name",
    "user_agent.original",
    "browser.user_agent",
];
const MAX_RESOURCE_VALUE_BYTES: usize = 512;

/// What the records of a resource have in common: the texts of [`OF_RESOURCE`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Resource(Map<String, Value>);

impl Resource {
    /// What a resource adds to the size of an event.
    pub(super) const MAX_ADDED_BYTES: usize = OF_RESOURCE.len() * (MAX_RESOURCE_VALUE_BYTES + 32);

    pub(super) fn new(resource: resource::Resource) -> Self {
        let attributes = object(resource.attributes).into_iter().filter(|(name, value)| {
            let is_short = value.as_str().is_some_and(|text| text.len() <= MAX_RESOURCE_VALUE_BYTES);
            is_short && OF_RESOURCE.contains(&name.as_str())
        });
        Self(attributes.collect())
    }
}

/// Why a record is not an event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "has no event name; set the field event_name or the attribute event.name, other log records are not stored"
)]
pub(super) struct NoEventName;

/// Maps a record. The event is not validated yet.
///
/// # Errors
/// A record without a name is an ordinary log line.
pub(super) fn to_event(
    record: LogRecord,
    resource: &Resource,
    received_at_ms: i64,
    record_ids: Uuid,
) -> Result<v1::Event, NoEventName> {
    let mut attributes = object(record.attributes);
    let mut take = |names: &[&str]| {
        let values = names.iter().map(|name| attributes.remove(*name)).collect::<Vec<_>>();
        let of_resource = names.iter().map(|name| resource.0.get(*name).cloned());
        values
            .into_iter()
            .chain(of_resource)
            .flatten()
            .map(text)
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    };
    let attribute_name = take(EVENT_NAME);
    let event_name = if record.event_name.is_empty() { attribute_name } else { record.event_name };
    if event_name.is_empty() {
        return Err(NoEventName);
    }
    let (session_id, user_id, country_code) = (take(SESSION_ID), take(USER_ID), take(COUNTRY_CODE));
    let record_id = take(EVENT_ID);
    let event_id = (!record_id.is_empty()).then(|| {
        let id =
            Uuid::try_parse(&record_id).unwrap_or_else(|_| Uuid::new_v5(&record_ids, record_id.as_bytes()));
        id.to_string()
    });
    let lookup = |attributes: &Map<String, Value>, names: &[&str]| {
        let of = |map: &Map<String, Value>| names.iter().find_map(|name| map.get(*name)).cloned();
        of(attributes).or_else(|| of(&resource.0))
    };
    let agent = lookup(&attributes, USER_AGENT).map(text).unwrap_or_default();
    let agent = UserAgent::parse(&agent);
    for (property, names) in PROPERTIES {
        if let Some(value) = lookup(&attributes, names) {
            attributes.entry(property).or_insert(value);
        }
    }
    for (property, value) in [("browser", agent.browser), ("os", agent.os)] {
        if !value.is_empty() {
            attributes.entry(property).or_insert(value.into());
        }
    }
    if let Some(body) = record.body.and_then(|body| body.value) {
        attributes.entry("body").or_insert(json(body));
    }
    let nanos = [record.time_unix_nano, record.observed_time_unix_nano].into_iter().find(|nanos| *nanos > 0);
    let millis = nanos.map_or(received_at_ms, |nanos| i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX));
    Ok(v1::Event {
        event_name,
        timestamp: Some(crate::proto::timestamp_from_millis(millis)),
        session_id,
        user_id: Some(user_id),
        device_type: agent.device_type.to_owned(),
        country_code,
        event_id,
        properties_kind: Some(PropertiesKind::PropertiesJson(Value::Object(attributes).to_string())),
    })
}

fn object(attributes: Vec<KeyValue>) -> Map<String, Value> {
    let value = |value: Option<AnyValue>| value.and_then(|value| value.value).map_or(Value::Null, json);
    attributes.into_iter().map(|attribute| (attribute.key, value(attribute.value))).collect()
}

/// Bytes are base64, as in OTLP's JSON. prost limits how deep values nest.
fn json(value: any_value::Value) -> Value {
    use any_value::Value as Any;
    match value {
        Any::StringValue(text) => text.into(),
        Any::BoolValue(yes) => yes.into(),
        Any::IntValue(number) => number.into(),
        Any::DoubleValue(number) => number.into(),
        Any::ArrayValue(list) => {
            list.values.into_iter().map(|value| value.value.map_or(Value::Null, json)).collect()
        }
        Any::KvlistValue(list) => Value::Object(object(list.values)),
        Any::BytesValue(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        // An index into a table that logs do not have.
        Any::StringValueStrindex(_) => Value::Null,
    }
}

/// Ids may be numbers.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use prost::Message as _;
    use serde_json::json;

    use super::*;
    use crate::proto::otlp::logs::v1::{LogsData, ResourceLogs, ScopeLogs};

    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1";

    fn attribute(key: &str, value: any_value::Value) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.to_owned(), value, ..Default::default() }
    }

    fn string(key: &str, text: &str) -> KeyValue {
        attribute(key, any_value::Value::StringValue(text.to_owned()))
    }

    fn record() -> LogRecord {
        use any_value::Value as Any;
        let list = crate::proto::otlp::common::v1::ArrayValue {
            values: vec![AnyValue { value: Some(Any::BoolValue(true)) }, AnyValue { value: None }],
        };
        LogRecord {
            time_unix_nano: 1_795_237_200_123_456_789,
            event_name: "page_view".to_owned(),
            body: Some(AnyValue { value: Some(Any::StringValue("viewed".to_owned())) }),
            attributes: vec![
                string("session.id", "s1"),
                string("user.id", "ada"),
                string("client.geo.country_iso_code", "ES"),
                string("url.path", "/pricing"),
                string("user_agent.original", IPHONE),
                attribute("n", Any::IntValue(i64::MAX)),
                attribute("list", Any::ArrayValue(list)),
                attribute("bytes", Any::BytesValue(vec![1, 2, 255])),
            ],
            ..Default::default()
        }
    }

    /// A request with three records of two resources, encoded and as JSON.
    pub(in crate::ingest::otlp) fn request() -> (Vec<u8>, Value) {
        let named = LogRecord { event_name: "a".to_owned(), ..Default::default() };
        let resource = resource::Resource {
            attributes: vec![string("service.name", "shop"), string("host.name", "h")],
            ..Default::default()
        };
        let scope = |log_records| ScopeLogs { log_records, ..Default::default() };
        let message = LogsData {
            resource_logs: vec![
                ResourceLogs {
                    resource: Some(resource),
                    scope_logs: vec![scope(vec![record()]), scope(vec![named.clone()])],
                    ..Default::default()
                },
                ResourceLogs { scope_logs: vec![scope(vec![named])], ..Default::default() },
            ],
        };
        let json = json!({ "resourceLogs": [
            {
                "resource": { "attributes": [
                    { "key": "service.name", "value": { "stringValue": "shop" } },
                    { "key": "host.name", "value": { "stringValue": "h" } },
                ] },
                "scopeLogs": [
                    { "scope": { "name": "x" }, "logRecords": [{
                        "timeUnixNano": "1795237200123456789", "eventName": "page_view", "unknown": 1,
                        "body": { "stringValue": "viewed" },
                        "attributes": [
                            { "key": "session.id", "value": { "stringValue": "s1" } },
                            { "key": "user.id", "value": { "stringValue": "ada" } },
                            { "key": "client.geo.country_iso_code", "value": { "stringValue": "ES" } },
                            { "key": "url.path", "value": { "stringValue": "/pricing" } },
                            { "key": "user_agent.original", "value": { "stringValue": IPHONE } },
                            { "key": "n", "value": { "intValue": "9223372036854775807" } },
                            { "key": "list", "value": { "arrayValue": { "values": [{ "boolValue": true }, {}] } } },
                            { "key": "bytes", "value": { "bytesValue": "AQL/" } },
                        ],
                    }] },
                    { "logRecords": [{ "eventName": "a" }] },
                ],
            },
            { "scopeLogs": [{ "logRecords": [{ "eventName": "a" }] }] },
        ] });
        (message.encode_to_vec(), json)
    }

    fn properties(event: &v1::Event) -> Value {
        let Some(PropertiesKind::PropertiesJson(text)) = &event.properties_kind else { panic!() };
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn attributes_are_fields_or_properties() {
        let resource =
            resource::Resource { attributes: vec![string("service.name", "shop")], ..Default::default() };
        let event = to_event(record(), &Resource::new(resource), 0, RECORD_IDS).unwrap();
        assert_eq!((event.event_name.as_str(), event.session_id.as_str()), ("page_view", "s1"));
        assert_eq!((event.user_id.as_deref(), event.country_code.as_str()), (Some("ada"), "ES"));
        assert_eq!((event.device_type.as_str(), &event.event_id), ("mobile", &None));
        assert_eq!(event.timestamp, Some(crate::proto::timestamp_from_millis(1_795_237_200_123)));
        assert_eq!(
            properties(&event),
            json!({
                "body": "viewed", "url.path": "/pricing", "page_url": "/pricing", "user_agent.original": IPHONE,
                "browser": "Safari", "os": "iOS", "n": i64::MAX, "list": [true, null], "bytes": "AQL/",
                "service_name": "shop",
            })
        );
    }

    #[test]
    fn a_record_without_a_name_is_no_event() {
        let name_in_attribute =
            LogRecord { attributes: vec![string("event.name", "b")], ..Default::default() };
        let event = to_event(name_in_attribute, &Resource::default(), 5_000, RECORD_IDS).unwrap();
        assert_eq!((event.event_name.as_str(), event.timestamp.unwrap().seconds), ("b", 5));
        assert_eq!(properties(&event), json!({}));
        let nameless = LogRecord { attributes: vec![string("a", "b")], ..Default::default() };
        let error = to_event(nameless, &Resource::default(), 0, RECORD_IDS).unwrap_err();
        assert!(error.to_string().contains("event.name"), "{error}");
    }

    #[test]
    fn the_uid_of_a_record_is_the_id_of_its_event() {
        let id = |uid: &str| {
            let record = LogRecord {
                event_name: "a".to_owned(),
                attributes: vec![string("log.record.uid", uid)],
                ..Default::default()
            };
            to_event(record, &Resource::default(), 0, RECORD_IDS).unwrap().event_id
        };
        let uuid = "01a2a3f0-0000-4000-8000-000000000001";
        assert_eq!(id(uuid).as_deref(), Some(uuid));
        let ulid = id("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        assert_eq!(Uuid::try_parse(&ulid).unwrap().get_version_num(), 5);
        assert_eq!(id(""), None);
    }
}
