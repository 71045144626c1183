//! JSON of the contracts' messages for the HTTP API: proto3 JSON with the field names of the .proto files, and with 64-bit
//! integers as numbers.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use serde_json::Value;

use crate::error::Error;

static DESCRIPTOR_POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(super::FILE_DESCRIPTOR_SET).expect("build.rs writes valid descriptors")
});

/// The descriptor of a message of `millrace.v1`.
pub(crate) fn descriptor(name: &str) -> MessageDescriptor {
    let descriptor = DESCRIPTOR_POOL.get_message_by_name(&format!("millrace.v1.{name}"));
    descriptor.expect("callers name messages of the contracts")
}

/// Converts the message `name` to JSON. Unset scalar fields have their defaults, so that readers need not handle missing
/// ones; unset messages are omitted.
///
/// proto3 JSON has 64-bit integers as strings, since a JavaScript number is exact up to 2^53 only. Counts do not get there, and
/// a string instead of a number surprises every reader.
pub(crate) fn to_json(name: &str, message: &impl Message) -> Value {
    let mut dynamic = DynamicMessage::new(descriptor(name));
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    dynamic.transcode_from(message).expect("callers name the type of the message");
    let json = dynamic.serialize_with_options(serde_json::value::Serializer, &options);
    json.expect("every message of the contracts has a JSON form")
}

/// Why JSON is not a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// Invalid JSON, or a value of the wrong type. The text has line and column.
    #[error(transparent)]
    Parse(#[from] serde_json::Error),
    /// The parsed message cannot be converted to the generated type.
    #[error(transparent)]
    Transcode(#[from] prost::DecodeError),
}

/// Parses the proto3 JSON of a message of OTLP, `name` without the common package. Unknown fields are ignored, as OTLP demands.
/// Ids of traces and spans are hexadecimal there, and wrong in the result.
///
/// # Errors
/// See [`JsonError`].
pub(crate) fn from_otlp_json<M: Message + Default>(name: &str, json: &str) -> Result<M, JsonError> {
    let descriptor = DESCRIPTOR_POOL.get_message_by_name(&format!("opentelemetry.proto.{name}"));
    let descriptor = descriptor.expect("callers name messages of OTLP");
    parse(descriptor, json, &DeserializeOptions::new().deny_unknown_fields(false))
}

fn parse<M: Message + Default>(
    descriptor: MessageDescriptor,
    json: &str,
    options: &DeserializeOptions,
) -> Result<M, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor, &mut reader, options)?;
    reader.end()?;
    Ok(dynamic.transcode_to()?)
}

/// Parses the proto3 JSON of the message `name`. Field names may be in snake_case or lowerCamelCase. Events have a typed
/// reader, `ingest/event_json.rs`.
///
/// # Errors
/// See [`JsonError`].
pub(crate) fn from_json<M: Message + Default>(name: &str, json: &str) -> Result<M, JsonError> {
    parse(descriptor(name), json, &DeserializeOptions::new())
}

/// The message `name` that a request has as its body, in proto3 JSON.
///
/// # Errors
/// The body is not UTF-8, or not this message.
pub(crate) fn from_body<M: Message + Default>(name: &str, body: &[u8]) -> Result<M, Error> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Error::invalid(format!("the body is not UTF-8: {error}")))?;
    from_json(name, text).map_err(|error| Error::invalid(format!("the body is not a {name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    #[test]
    fn default_values_are_serialized_and_unset_messages_are_omitted() {
        let json = to_json("GetTrafficAnomalyResponse", &v1::GetTrafficAnomalyResponse::default());
        assert_eq!(json, serde_json::json!({ "current_views": 0, "previous_views": 0 }));
    }

    #[test]
    fn an_event_is_parsed_in_either_field_spelling_and_errors_have_a_position() {
        let json = r#"{
            "event_name": "a", "sessionId": "s", "timestamp": "2026-11-21T10:00:00.5Z", "properties": {"x": [1]}
        }"#;
        let event: v1::Event = from_json("Event", json).unwrap();
        assert_eq!((event.event_name.as_str(), event.session_id.as_str()), ("a", "s"));
        assert_eq!(event.timestamp.unwrap().nanos, 500_000_000);
        let error = from_json::<v1::Event>("Event", r#"{"name": "a"}"#).unwrap_err().to_string();
        assert!(error.contains("name") && error.contains("line 1"), "{error}");
    }
}
