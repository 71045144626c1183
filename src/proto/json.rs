//! The proto3 JSON of messages, with the field names of the contracts.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use serde_json::Value;

static DESCRIPTOR_POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(super::FILE_DESCRIPTOR_SET).expect("the descriptors were made by the build")
});

/// A message of `millrace.v1` by its name there.
fn descriptor(name: &str) -> MessageDescriptor {
    let descriptor = DESCRIPTOR_POOL.get_message_by_name(&format!("millrace.v1.{name}"));
    descriptor.expect("callers name messages of the contracts")
}

/// The JSON of a message. Fields that are not set are there with their defaults, so that a reader finds zeros.
pub fn to_json(name: &str, message: &impl Message) -> Value {
    let mut dynamic = DynamicMessage::new(descriptor(name));
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    dynamic.transcode_from(message).expect("callers name the type of the message");
    let json = dynamic.serialize_with_options(serde_json::value::Serializer, &options);
    json.expect("every message of the contracts can be JSON")
}

/// Why JSON is not a message.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or a field that the message does not have, or a value of another type. With line and column.
    #[error(transparent)]
    Parse(#[from] serde_json::Error),
    /// The parsed message is not one of the generated type.
    #[error(transparent)]
    Transcode(#[from] prost::DecodeError),
}

/// Parses the proto3 JSON of the message `name`. Accepts both spellings of field names.
///
/// # Errors
/// See [`JsonError`].
pub fn from_json<M: Message + Default>(name: &str, json: &str) -> Result<M, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let options = DeserializeOptions::new();
    let dynamic = DynamicMessage::deserialize_with_options(descriptor(name), &mut reader, &options)?;
    reader.end()?;
    Ok(dynamic.transcode_to()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    #[test]
    fn default_values_are_serialized_and_unset_messages_are_omitted() {
        let json = to_json("GetTrafficAnomalyResponse", &v1::GetTrafficAnomalyResponse::default());
        assert_eq!(json, serde_json::json!({ "current_views": "0", "previous_views": "0" }));
    }

    #[test]
    fn an_event_is_parsed_in_either_field_spelling_and_errors_have_a_position() {
        let json = r#"{"event_name": "a", "sessionId": "s", "timestamp": "2026-11-21T10:00:00.5Z", "properties": {"x": [1]}}"#;
        let event: v1::Event = from_json("Event", json).unwrap();
        assert_eq!((event.event_name.as_str(), event.session_id.as_str()), ("a", "s"));
        assert_eq!(event.timestamp.unwrap().nanos, 500_000_000);
        let error = from_json::<v1::Event>("Event", r#"{"name": "a"}"#).unwrap_err().to_string();
        assert!(error.contains("name") && error.contains("line 1"), "{error}");
    }
}
