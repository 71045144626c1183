//! Requests with events, parsed without decoding the events.
//!
//! An empty event has two bytes on the wire and a few hundred in memory. A message of 4 MB, compressed to a few kilobytes,
//! would take half a gigabyte as a `Vec<Event>`. So a request keeps its encoded bytes: its events are counted by skipping
//! from one to the next, and decoded one at a time.

use bytes::Bytes;
use prost::Message as _;
use prost_types::{Struct, Timestamp};
use tonic::Status;

use crate::event::{EventFields, PropertiesSource};
use crate::proto::codec::FromWire;

/// Upper bound for what an event takes in columns besides its texts: values of fixed width, the texts' lengths, and the
/// indexes and promoted values of the built-in properties.
pub(super) const FIXED_COLUMN_BYTES: usize = 256;
/// A text of the properties may also be a promoted value, in which a digit may become `:id`.
pub(super) const PROMOTED_FACTOR: usize = 3;
/// By how much a `Struct` may grow as JSON: a control character of one byte becomes `\u0001`.
pub(super) const STRUCT_TO_JSON_FACTOR: usize = 6;

/// A `SendEventsRequest`, `StreamEventsRequest` or `UploadEventsRequest`: the three have the same fields.
#[derive(Debug, Default)]
pub struct EventsRequest {
    /// The producer id, or empty.
    pub producer_id: String,
    /// Number of this request within the producer, from 1; 0 if not set.
    pub sequence: u64,
    /// Whether the request starts a new numbering of its producer.
    pub start_new_numbering: bool,
    /// Whether another server may have stored the request.
    pub sent_to_another_server: bool,
    events: usize,
    max_columns_bytes: usize,
    message: Bytes,
}

impl EventsRequest {
    /// The number of events.
    pub fn len(&self) -> usize {
        self.events
    }

    /// Whether the request has no events.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// The size of the encoded request.
    pub fn message_bytes(&self) -> usize {
        self.message.len()
    }

    /// Upper bound for the size of the events in columns.
    pub fn max_columns_bytes(&self) -> usize {
        self.max_columns_bytes
    }

    /// The encoded events, in order.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        MessageFields(&self.message).map_while(Result::ok).filter_map(|field| match field {
            (3, WireValue::Bytes(event)) => Some(event),
            _ => None,
        })
    }

    fn parse(message: Bytes) -> Result<Self, MalformedMessage> {
        let mut request = Self::default();
        for field in MessageFields(&message) {
            match field? {
                (1, WireValue::Bytes(text)) => {
                    let text = std::str::from_utf8(text)
                        .map_err(|_| MalformedMessage("producer_id is not UTF-8"))?;
                    text.clone_into(&mut request.producer_id);
                }
                (2, WireValue::Varint(number)) => request.sequence = number,
                (3, WireValue::Bytes(event)) => {
                    request.events += 1;
                    request.max_columns_bytes += max_columns_bytes(event)?;
                }
                (4, WireValue::Varint(yes)) => request.start_new_numbering = yes != 0,
                (5, WireValue::Varint(yes)) => request.sent_to_another_server = yes != 0,
                (1..=5, _) => return Err(MalformedMessage("a field does not have the type of the contract")),
                _ => {}
            }
        }
        request.message = message;
        Ok(request)
    }
}

impl FromWire for EventsRequest {
    fn from_wire(message: Bytes) -> Result<Self, Status> {
        Self::parse(message)
            .map_err(|error| Status::invalid_argument(format!("the message cannot be decoded: {error}")))
    }
}

/// Upper bound for the size of an encoded event in columns.
fn max_columns_bytes(event: &[u8]) -> Result<usize, MalformedMessage> {
    const PROPERTIES: u32 = 7;
    let mut is_struct = false;
    for field in MessageFields(event) {
        is_struct |= field?.0 == PROPERTIES;
    }
    let text_bytes = if is_struct { STRUCT_TO_JSON_FACTOR * event.len() } else { event.len() };
    Ok(FIXED_COLUMN_BYTES + PROMOTED_FACTOR * text_bytes)
}

/// Decodes an event without copying its texts, like prost decodes an `Event`. An object in `properties` is decoded into
/// `object`.
pub(super) fn decode_event<'a>(
    event: &'a [u8],
    object: &'a mut Struct,
) -> Result<EventFields<'a>, MalformedMessage> {
    let mut fields = EventFields::default();
    let mut has_object = false;
    for field in MessageFields(event) {
        match field? {
            (1, WireValue::Bytes(text)) => fields.event_name = parse_text(text, "event_name is not UTF-8")?,
            (2, WireValue::Bytes(message)) => {
                merge_timestamp(fields.timestamp.get_or_insert_default(), message)?;
            }
            (3, WireValue::Bytes(text)) => fields.session_id = parse_text(text, "session_id is not UTF-8")?,
            (4, WireValue::Bytes(text)) => fields.user_id = parse_text(text, "user_id is not UTF-8")?,
            (5, WireValue::Bytes(text)) => fields.device_type = parse_text(text, "device_type is not UTF-8")?,
            (6, WireValue::Bytes(text)) => {
                fields.country_code = parse_text(text, "country_code is not UTF-8")?
            }
            (7, WireValue::Bytes(message)) => {
                // As prost does: a repeated object is merged, and replaces a JSON text.
                if !has_object {
                    object.clear();
                }
                has_object = true;
                object.merge(message).map_err(|_| MalformedMessage("properties is not a Struct"))?;
            }
            (8, WireValue::Bytes(text)) => {
                has_object = false;
                fields.properties = PropertiesSource::Json(parse_text(text, "properties_json is not UTF-8")?);
            }
            (9, WireValue::Bytes(text)) => fields.event_id = parse_text(text, "event_id is not UTF-8")?,
            (1..=9, _) => return Err(MalformedMessage("a field does not have the type of the contract")),
            _ => {}
        }
    }
    if has_object {
        fields.properties = PropertiesSource::Struct(object);
    }
    Ok(fields)
}

fn parse_text<'a>(bytes: &'a [u8], otherwise: &'static str) -> Result<&'a str, MalformedMessage> {
    std::str::from_utf8(bytes).map_err(|_| MalformedMessage(otherwise))
}

fn merge_timestamp(timestamp: &mut Timestamp, message: &[u8]) -> Result<(), MalformedMessage> {
    for field in MessageFields(message) {
        match field? {
            (1, WireValue::Varint(seconds)) => timestamp.seconds = seconds.cast_signed(),
            // As in Protobuf, an int32 is the low half of the number.
            (2, WireValue::Varint(nanos)) => timestamp.nanos = (nanos as u32).cast_signed(),
            (1 | 2, _) => return Err(MalformedMessage("a field does not have the type of the contract")),
            _ => {}
        }
    }
    Ok(())
}

/// Why bytes can't be parsed as a protobuf message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MalformedMessage(&'static str);

/// The value of a field; fixed-width values are skipped.
pub(super) enum WireValue<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Iterates over the fields of an encoded message: number and value. The first error is the last item.
pub(super) struct MessageFields<'a>(pub(super) &'a [u8]);

impl<'a> MessageFields<'a> {
    fn read_field(&mut self) -> Result<(u32, WireValue<'a>), MalformedMessage> {
        let key = self.read_varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| MalformedMessage("a field number is too large"))?;
        let value = match key & 7 {
            0 => WireValue::Varint(self.read_varint()?),
            1 => self.read_bytes(8).map(|_| WireValue::Fixed)?,
            2 => {
                let length = usize::try_from(self.read_varint()?).map_err(|_| TRUNCATED)?;
                WireValue::Bytes(self.read_bytes(length)?)
            }
            5 => self.read_bytes(4).map(|_| WireValue::Fixed)?,
            _ => return Err(MalformedMessage("a field has a wire type that proto3 does not have")),
        };
        Ok((number, value))
    }

    fn read_bytes(&mut self, length: usize) -> Result<&'a [u8], MalformedMessage> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn read_varint(&mut self) -> Result<u64, MalformedMessage> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(TRUNCATED)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(MalformedMessage("a varint has more than 64 bits"))
    }
}

const TRUNCATED: MalformedMessage = MalformedMessage("the message is truncated");

impl<'a> Iterator for MessageFields<'a> {
    type Item = Result<(u32, WireValue<'a>), MalformedMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read_field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::event::{ValidationRules, validate};
    use crate::project::Project;
    use crate::properties::Properties;
    use crate::proto::v1;
    use crate::writer::columns::EventColumns;
    use v1::event::PropertiesKind;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn events() -> impl Strategy<Value = Vec<v1::Event>> {
        let json = "[a-zü\"\\\\]{0,30}"
            .prop_map(|text| PropertiesKind::PropertiesJson(serde_json::json!({ "a": text }).to_string()));
        let object =
            ("[\u{1}-\u{20}\"ü]{0,30}", any::<f64>(), any::<bool>()).prop_map(|(text, number, yes)| {
                let value = |kind| prost_types::Value { kind: Some(kind) };
                use prost_types::value::Kind;
                let list = vec![
                    value(Kind::NumberValue(number)),
                    value(Kind::BoolValue(yes)),
                    prost_types::Value::default(),
                ];
                let list = value(Kind::ListValue(prost_types::ListValue { values: list }));
                let fields = [(text.clone(), value(Kind::StringValue(text))), ("l".into(), list)];
                PropertiesKind::Properties(prost_types::Struct { fields: fields.into() })
            });
        let event =
            ("[a-z]{0,9}", "[a-z]{0,300}", proptest::option::of("[a-z]{0,5}"), prop_oneof![json, object])
                .prop_map(|(event_name, session_id, user_id, properties)| v1::Event {
                    event_name,
                    timestamp: Some(crate::proto::timestamp_from_millis(NOW_MS)),
                    session_id,
                    user_id,
                    properties_kind: Some(properties),
                    ..Default::default()
                });
        proptest::collection::vec(event, 0..8)
    }

    proptest! {
        #[test]
        fn parsing_agrees_with_prost(
            events in events(),
            producer_id in "[a-zü]{0,9}",
            sequence in any::<u64>(),
            start_new_numbering in any::<bool>(),
            sent_to_another_server in any::<bool>(),
        ) {
            let message = v1::StreamEventsRequest {
                producer_id, sequence, events, start_new_numbering, sent_to_another_server,
            };
            let request = EventsRequest::from_wire(message.encode_to_vec().into()).unwrap();
            prop_assert_eq!(&request.producer_id, &message.producer_id);
            prop_assert_eq!((request.sequence, request.len()), (sequence, message.events.len()));
            prop_assert_eq!(request.start_new_numbering, start_new_numbering);
            prop_assert_eq!(request.sent_to_another_server, sent_to_another_server);
            let mut object = Struct::default();
            for (bytes, event) in request.events().zip(&message.events) {
                let fields = decode_event(bytes, &mut object).unwrap();
                prop_assert_eq!(format!("{fields:?}"), format!("{:?}", EventFields::from(event)));
            }
        }

        #[test]
        fn columns_never_exceed_the_estimate(events in events()) {
            let rules = ValidationRules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::ZERO };
            let (properties, project) = (Properties::built_in(), Project::default());
            let mut columns = EventColumns::new(&properties);
            for event in &events {
                if let Ok(valid) = validate(event, &rules, &properties, NOW_MS) {
                    columns.push(&valid, &project, NOW_MS);
                }
            }
            let message = v1::SendEventsRequest { events, ..Default::default() };
            let request = EventsRequest::from_wire(message.encode_to_vec().into()).unwrap();
            prop_assert!(columns.size_bytes() <= request.max_columns_bytes());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let ours = EventsRequest::parse(bytes.clone().into());
            if let (Ok(ours), Ok(theirs)) = (&ours, v1::SendEventsRequest::decode(bytes.as_slice())) {
                prop_assert_eq!(ours.events().count(), theirs.events.len());
                let mut object = Struct::default();
                for (bytes, event) in ours.events().zip(&theirs.events) {
                    let fields = decode_event(bytes, &mut object).unwrap();
                    prop_assert_eq!(format!("{fields:?}"), format!("{:?}", EventFields::from(event)));
                }
            }
        }
    }

    #[test]
    fn two_million_empty_events_are_counted_without_decoding() {
        let bomb = [0x1a, 0].repeat(2_000_000);
        let request = EventsRequest::from_wire(bomb.into()).unwrap();
        assert_eq!(request.len(), 2_000_000);
    }

    #[test]
    fn malformed_bytes_are_rejected_with_the_reason() {
        for (bytes, part) in [
            (&[0x1a, 5, 0][..], "truncated"),
            (&[0x0a, 1, 0xff], "producer_id is not UTF-8"),
            (&[0x18, 1], "type of the contract"),
            (&[0x23], "proto3 does not have"),
            (&[0xff; 11], "more than 64 bits"),
        ] {
            let status = EventsRequest::from_wire(Bytes::copy_from_slice(bytes)).unwrap_err();
            assert!(status.message().contains(part), "{bytes:?}: {}", status.message());
        }
    }
}
