//! JSON Schemas of the contracts' messages, as [`crate::proto::json`] writes them.

use prost_reflect::{Cardinality, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// The schemas of messages and enumerations by name, for `components.schemas`.
#[derive(Debug, Default)]
pub(super) struct Schemas(pub(super) Map<String, Value>);

impl Schemas {
    /// A reference to a message's schema, which is added with those of its fields.
    pub(super) fn reference(&mut self, message: &MessageDescriptor) -> Value {
        let name = message.name().to_owned();
        if !self.0.contains_key(&name) {
            self.0.insert(name.clone(), Value::Null); // a message may contain itself
            let schema = self.message(message);
            self.0.insert(name.clone(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields() {
            let mut schema = self.field(&field);
            if let Some(text) = comment(&field.parent_file(), field.path()) {
                schema["description"] = text.into();
            }
            // Fields without presence are written with their defaults.
            if !field.supports_presence() {
                required.push(field.name().to_owned());
            }
            properties.insert(field.name().to_owned(), schema);
        }
        let mut schema = json!({ "type": "object", "properties": properties, "required": required });
        if let Some(text) = comment(&message.parent_file(), message.path()) {
            schema["description"] = text.into();
        }
        schema
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { return json!({}) };
            let values = self.value(&entry.map_entry_value_field());
            return json!({ "type": "object", "additionalProperties": values });
        }
        let value = self.value(field);
        match field.cardinality() {
            Cardinality::Repeated => json!({ "type": "array", "items": value }),
            _ => value,
        }
    }

    fn value(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            // JSON has no infinite numbers: proto3 JSON writes "NaN", "Infinity" and "-Infinity".
            Kind::Double | Kind::Float => json!({ "type": ["number", "string"], "format": "double" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "integer", "format": "int64" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "integer", "format": "uint64", "minimum": 0 }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Enum(values) => {
                let names: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
                json!({ "type": "string", "enum": names })
            }
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
                "google.protobuf.Duration" => {
                    json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$" })
                }
                "google.protobuf.Struct" => json!({ "type": "object" }),
                "google.protobuf.Value" => json!({}),
                _ => self.reference(&message),
            },
        }
    }
}

/// The comment above a definition, on one line.
fn comment(file: &FileDescriptor, path: &[i32]) -> Option<String> {
    let info = file.file_descriptor_proto().source_code_info.as_ref()?;
    let location = info.location.iter().find(|location| location.path == path)?;
    let words: Vec<_> = location.leading_comments().split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}
