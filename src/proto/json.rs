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
    let json = dynamic.transcode_from(message).map_err(|error| error.to_string()).and_then(|()| {
        let serializer = serde_json::value::Serializer;
        dynamic.serialize_with_options(serializer, &options).map_err(|error| error.to_string())
    });
    json.expect("a message of the contracts has its JSON")
}

/// The message that a JSON object stands for, or what is wrong with it.
pub fn from_json<M: Message + Default>(name: &str, json: &str) -> Result<M, String> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let options = DeserializeOptions::new();
    let dynamic = DynamicMessage::deserialize_with_options(descriptor(name), &mut reader, &options)
        .map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    dynamic.transcode_to().map_err(|error| error.to_string())
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
        let refused = from_json::<v1::Event>("Event", r#"{"name": "a"}"#).unwrap_err();
        assert!(refused.contains("name") && refused.contains("line 1"), "{refused}");
    }
}
