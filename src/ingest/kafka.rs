//! Messages of Kafka as events, validated like those of `POST /events`.
//!
//! Another server may read a message again, perhaps after a crash. What becomes of it follows from the message alone: its
//! timestamp is the time of receipt, and an event without an id gets one that is made of topic, partition and offset.

use std::collections::HashSet;
use std::sync::Arc;

use prost_types::Struct;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::http::{parse_elements, read_event};
use super::ingester::{MAX_EVENT_BYTES, MAX_STREAM_EVENTS};
use super::rejected::{Payload, RejectedEvents, RejectedInRequest};
use super::wire::decode_event;
use crate::access::Caller;
use crate::config::kafka::KafkaFormat;
use crate::event::{EventFields, PromotedBuffer, ValidationRules, validate_with};
use crate::kafka::message::{JournalMessage, decode};
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::v1::{self, EventSource};
use crate::sources::{Sender, SourceKey, Sources};
use crate::writer::columns::EventColumns;
use crate::writer::{RejectedByField, WriterStats};

/// Memory of an event besides its message, in columns.
const FIXED_EVENT_BYTES: u64 = 128;

/// Decodes the messages of all topics.
#[derive(Clone, Debug)]
pub(crate) struct MessageDecoder {
    pub(crate) project: Project,
    pub(crate) format: KafkaFormat,
    pub(crate) rules: ValidationRules,
    pub(crate) properties: watch::Receiver<Arc<Properties>>,
    pub(crate) rejected: RejectedEvents,
    pub(crate) sources: Sources,
}

/// A message of Kafka.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) offset: i64,
    /// Milliseconds since 1970 UTC.
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) value: Option<&'a [u8]>,
}

/// The events of messages of one partition that follow each other.
#[derive(Debug)]
pub(crate) struct MessageBatch {
    decoder: MessageDecoder,
    topic: Arc<str>,
    topic_id: Uuid,
    partition: i32,
    properties: Arc<Properties>,
    /// One, unless the messages are those of the journal.
    records: Vec<EventColumns>,
    events: u32,
    /// Whether another server may have stored some of the events.
    may_be_elsewhere: bool,
    bytes: u64,
    /// Ids that the producers gave. Only duplicates within a batch are dropped: other batches may be read by another server.
    ids: HashSet<Uuid>,
    duplicates: u64,
    devices: [u64; 4],
    rejected: u64,
    rejected_by_field: RejectedByField,
    rejected_events: RejectedInRequest,
    buffer: PromotedBuffer,
    event: v1::Event,
    object: Struct,
}

impl MessageBatch {
    pub(crate) fn new(decoder: MessageDecoder, topic: &Arc<str>, topic_id: Uuid, partition: i32) -> Self {
        let properties = Arc::clone(&decoder.properties.borrow());
        let records = match decoder.format {
            KafkaFormat::Journal => Vec::new(),
            KafkaFormat::Json | KafkaFormat::Event => vec![EventColumns::new(&properties)],
        };
        Self {
            decoder,
            topic: Arc::clone(topic),
            topic_id,
            partition,
            records,
            events: 0,
            may_be_elsewhere: false,
            properties,
            bytes: 0,
            ids: HashSet::new(),
            duplicates: 0,
            devices: [0; 4],
            rejected: 0,
            rejected_by_field: RejectedByField::default(),
            rejected_events: RejectedInRequest::new(EventSource::Kafka),
            buffer: PromotedBuffer::default(),
            event: v1::Event::default(),
            object: Struct::default(),
        }
    }

    /// Number of valid events.
    pub(crate) fn events(&self) -> u32 {
        self.events
    }

    /// Whether other batches may have some of the events too, by their ids.
    pub(crate) fn may_be_elsewhere(&self) -> bool {
        self.may_be_elsewhere
    }

    /// An estimate of the memory that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Each has the events of one project.
    pub(crate) fn records(&self) -> &[EventColumns] {
        &self.records
    }

    pub(crate) fn into_records(self) -> Vec<EventColumns> {
        self.records
    }

    /// Counts its events, once it is certain that they will be stored, and lists the rejected ones. Those of the journal were counted
    /// by the server that received them.
    pub(crate) fn record(&mut self, stats: &WriterStats) {
        let MessageDecoder { project, rejected, sources, .. } = &self.decoder;
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let key =
            SourceKey { source: EventSource::Kafka, key_id: String::new(), library: self.topic.to_string() };
        let source = sources.get(project, key);
        let sender = Sender { source, key: None, received_at_ms: now_ms, events: self.devices };
        if self.decoder.format != KafkaFormat::Journal {
            sender.count_acknowledged(u64::from(self.events()));
        }
        sender.count_rejected(self.rejected);
        stats.count_duplicates(self.duplicates);
        stats.count_rejected(&self.rejected_by_field);
        let empty = RejectedInRequest::new(EventSource::Kafka);
        let caller =
            Caller { project: project.clone(), key: None, person: None, revoked: CancellationToken::new() };
        rejected.record(&caller, &self.topic, now_ms, std::mem::replace(&mut self.rejected_events, empty));
    }

    /// Adds the events of a message.
    pub(crate) fn push(&mut self, message: Message<'_>) {
        self.bytes += FIXED_EVENT_BYTES + message.value.map_or(0, |value| value.len() as u64);
        let Some(value) = message.value else {
            return self.reject(message, "", "has no value; it is not an event".to_owned(), Payload::Unknown);
        };
        if self.decoder.format == KafkaFormat::Journal {
            return self.push_record(message, value);
        }
        let Some(received_at_ms) = message.timestamp_ms else {
            let reason = "has no timestamp; Kafka's message.timestamp.type must not be disabled".to_owned();
            return self.reject(message, "timestamp", reason, Payload::Unknown);
        };
        match self.decoder.format {
            KafkaFormat::Json => self.push_json(message, value, received_at_ms),
            KafkaFormat::Event => self.push_event_message(message, value, received_at_ms),
            KafkaFormat::Journal => unreachable!("it was decoded before"),
        }
    }

    /// Adds the events of a request, which were validated when it was received. An event that was sent to two servers may be there
    /// twice.
    fn push_record(&mut self, message: Message<'_>, value: &[u8]) {
        let JournalMessage { sent_to_another_server, record } = match decode(value) {
            Ok(message) => message,
            Err(error) => {
                let reason =
                    format!("is not one of the journal: {error}; nothing else may write to this topic");
                return self.reject(message, "", reason, Payload::Unknown);
            }
        };
        let columns = record.columns;
        let duplicates: Vec<u32> =
            columns.explicit_ids().filter(|(_, id)| !self.ids.insert(*id)).map(|(row, _)| row).collect();
        self.duplicates += duplicates.len() as u64;
        let columns = if duplicates.is_empty() { columns } else { columns.without_rows(&duplicates) };
        self.may_be_elsewhere |= sent_to_another_server;
        self.events += columns.rows();
        match self.records.last_mut() {
            Some(last) if last.project() == columns.project() && last.is_better_appended(&columns) => {
                last.append(&columns);
            }
            _ if columns.is_empty() => {}
            _ => self.records.push(columns),
        }
    }

    fn push_json(&mut self, message: Message<'_>, value: &[u8], received_at_ms: i64) {
        let value = match value {
            // The wire format of Confluent's libraries: 0, and the id of the schema. No JSON begins like that.
            [0, _, _, _, _, json @ ..] => json,
            json => json,
        };
        let is_array = value.trim_ascii_start().first() == Some(&b'[');
        let elements = match (is_array, std::str::from_utf8(value)) {
            (false, Ok(text)) => Ok(vec![text]),
            (true, Ok(_)) => parse_elements(value, MAX_STREAM_EVENTS)
                .map_err(|error| format!("is not a JSON array of events: {error}"))
                .and_then(|(elements, count)| match count <= MAX_STREAM_EVENTS {
                    true => Ok(elements),
                    false => Err(format!("has {count} events; the limit is {MAX_STREAM_EVENTS}")),
                }),
            (_, Err(error)) => Err(format!("is not UTF-8: {error}; KAFKA_FORMAT is json")),
        };
        let elements = match elements {
            Ok(elements) => elements,
            Err(reason) => {
                let text = String::from_utf8_lossy(&value[..value.len().min(1_000)]);
                return self.reject(message, "", reason, Payload::Text(&text));
            }
        };
        let mut event = std::mem::take(&mut self.event);
        for (index, element) in (0_u32..).zip(elements) {
            match read_event(element, &mut event) {
                Ok(()) => {
                    let fields = EventFields::from(&event);
                    self.push_fields(message, index, fields, Payload::Text(element), received_at_ms);
                }
                Err(error) => self.reject(message, error.field, error.reason, Payload::Text(element)),
            }
        }
        self.event = event;
    }

    fn push_event_message(&mut self, message: Message<'_>, value: &[u8], received_at_ms: i64) {
        // The field number 0 does not exist: this can only be the header of Confluent's libraries.
        let value = match value {
            [0, rest @ ..] => match skip_message_indexes(rest.get(4..).unwrap_or_default()) {
                Some(event) => event,
                None => {
                    let reason =
                        "begins like Confluent's wire format, but its header is incomplete".to_owned();
                    return self.reject(message, "", reason, Payload::Unknown);
                }
            },
            event => event,
        };
        if value.len() > MAX_EVENT_BYTES {
            let reason = format!("has {} bytes; the limit is {MAX_EVENT_BYTES}", value.len());
            return self.reject(message, "event", reason, Payload::Unknown);
        }
        let mut object = std::mem::take(&mut self.object);
        match decode_event(value, &mut object) {
            Ok(fields) => self.push_fields(message, 0, fields, Payload::Fields(fields), received_at_ms),
            Err(error) => {
                let reason = format!("is not a millrace.v1.Event: {error}; KAFKA_FORMAT is event");
                self.reject(message, "", reason, Payload::Unknown);
            }
        }
        self.object = object;
    }

    fn push_fields(
        &mut self,
        message: Message<'_>,
        index: u32,
        fields: EventFields<'_>,
        payload: Payload<'_>,
        received_at_ms: i64,
    ) {
        let mut text = Uuid::encode_buffer();
        let has_id = !fields.event_id.is_empty();
        let fields = match has_id {
            true => fields,
            false => {
                let id = event_id(self.topic_id, self.partition, message.offset, index);
                EventFields { event_id: id.hyphenated().encode_lower(&mut text), ..fields }
            }
        };
        let properties = Arc::clone(&self.properties);
        let buffer = std::mem::take(&mut self.buffer);
        match validate_with(fields, &self.decoder.rules, &properties, received_at_ms, buffer) {
            Ok(valid) => {
                let is_duplicate = has_id && valid.event_id().is_some_and(|id| !self.ids.insert(id));
                if is_duplicate {
                    self.duplicates += 1;
                } else {
                    self.devices[valid.device_type().index()] += 1;
                    self.records[0].push(&valid, &self.decoder.project, received_at_ms);
                    self.events += 1;
                }
                self.buffer = valid.into_buffer();
            }
            Err(error) => self.reject_event(message, fields.event_name, error.field, error.reason, payload),
        }
    }

    fn reject(&mut self, message: Message<'_>, field: &str, reason: String, payload: Payload<'_>) {
        self.reject_event(message, "", field, reason, payload);
    }

    fn reject_event(
        &mut self,
        message: Message<'_>,
        event_name: &str,
        field: &str,
        reason: String,
        payload: Payload<'_>,
    ) {
        let Self { topic, partition, .. } = &*self;
        let reason = format!("{reason} (topic {topic:?}, partition {partition}, offset {})", message.offset);
        self.rejected += 1;
        self.rejected_by_field.count(field);
        self.rejected_events.push(event_name, field, &reason, payload);
    }
}

/// The id of an event without one. `index` is its position in the message.
fn event_id(topic_id: Uuid, partition: i32, offset: i64, index: u32) -> Uuid {
    let mut name = [0; 16];
    name[..4].copy_from_slice(&partition.to_be_bytes());
    name[4..12].copy_from_slice(&offset.to_be_bytes());
    name[12..].copy_from_slice(&index.to_be_bytes());
    Uuid::new_v5(&topic_id, &name)
}

/// The message after Confluent's list of message indexes: its length and its numbers as zigzag varints, where a length of 0
/// means the first message of the schema.
fn skip_message_indexes(mut bytes: &[u8]) -> Option<&[u8]> {
    let length = read_zigzag(&mut bytes)?;
    for _ in 0..length {
        read_zigzag(&mut bytes)?;
    }
    Some(bytes)
}

fn read_zigzag(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            // Of a length or an index, which are not negative.
            return Some(value >> 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use prost::Message as _;

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn batch(format: KafkaFormat) -> MessageBatch {
        let (_, properties) = watch::channel(Arc::new(Properties::built_in()));
        let day = Duration::from_secs(86_400);
        let decoder = MessageDecoder {
            project: "shop".parse().unwrap(),
            format,
            rules: ValidationRules { retention: day, max_clock_skew: Duration::from_secs(60) },
            properties,
            rejected: RejectedEvents::default(),
            sources: Sources::new(Timestamp::UNIX_EPOCH),
        };
        MessageBatch::new(decoder, &"events".into(), Uuid::from_u128(7), 3)
    }

    fn message(offset: i64, value: &[u8]) -> Message<'_> {
        Message { offset, timestamp_ms: Some(NOW_MS), value: Some(value) }
    }

    fn event(id: &str) -> String {
        format!(r#"{{"event_name":"page_view","timestamp":"2023-11-14T22:13:20Z","event_id":"{id}"}}"#)
    }

    fn reasons(batch: &mut MessageBatch) -> Vec<String> {
        batch.record(&WriterStats::default());
        let listed = batch.decoder.rejected.list(&batch.decoder.project, 100).events;
        listed.into_iter().rev().map(|event| event.reason).collect()
    }

    #[test]
    fn a_message_has_an_event_or_an_array_of_them_with_or_without_a_header() {
        let mut batch = batch(KafkaFormat::Json);
        let one = event("");
        batch.push(message(0, one.as_bytes()));
        batch.push(message(1, format!(" [{one}, {one}]").as_bytes()));
        batch.push(message(2, &[&[0, 0, 0, 0, 9], one.as_bytes()].concat()));
        batch.push(message(3, b"[]"));
        assert_eq!((batch.events(), batch.rejected), (4, 0));
        assert!(reasons(&mut batch).is_empty());
    }

    #[test]
    fn what_is_not_an_event_is_listed_with_its_place() {
        let mut batch = batch(KafkaFormat::Json);
        batch.push(message(10, b"{"));
        batch.push(message(11, b"\xff"));
        batch.push(message(12, b"[1,"));
        batch.push(Message { value: None, ..message(13, b"") });
        batch.push(Message { timestamp_ms: None, ..message(14, event("").as_bytes()) });
        batch.push(message(15, br#"{"event_name":""}"#));
        // Two days before the message.
        batch.push(message(16, br#"{"event_name":"a","timestamp":"2023-11-12T22:13:20Z"}"#));
        batch.push(message(17, format!("[{}7]", "7,".repeat(MAX_STREAM_EVENTS)).as_bytes()));
        batch.push(message(18, event("").as_bytes()));
        assert_eq!((batch.events(), batch.rejected), (1, 8));
        let reasons = reasons(&mut batch);
        for (reason, offset) in reasons.iter().zip(10..) {
            let place = format!("(topic \"events\", partition 3, offset {offset})");
            assert!(reason.ends_with(&place), "{reason}");
        }
        assert_eq!(reasons.len(), 8);
    }

    #[test]
    fn an_id_that_a_producer_gave_counts_once_in_a_batch() {
        let mut batch = batch(KafkaFormat::Json);
        let id = "0192f5a0-0000-7000-8000-000000000001";
        for offset in 0..3 {
            batch.push(message(offset, event(id).as_bytes()));
            batch.push(message(offset, event("").as_bytes()));
        }
        assert_eq!((batch.events(), batch.duplicates), (4, 2));
        let ids: HashSet<Uuid> = batch.records[0].explicit_ids().map(|(_, id)| id).collect();
        assert_eq!(ids.len(), 4);
        assert!(ids.contains(&event_id(Uuid::from_u128(7), 3, 2, 0)));
    }

    #[test]
    fn protobuf_messages_may_have_the_header_of_a_schema_registry() {
        let timestamp = Some(prost_types::Timestamp { seconds: NOW_MS / 1_000, nanos: 0 });
        let event = v1::Event { event_name: "page_view".to_owned(), timestamp, ..v1::Event::default() };
        let event = event.encode_to_vec();
        let mut batch = batch(KafkaFormat::Event);
        batch.push(message(0, &event));
        // The first message of a schema, and the third one within the second.
        batch.push(message(1, &[&[0, 0, 0, 0, 9, 0][..], &event].concat()));
        batch.push(message(2, &[&[0, 0, 0, 0, 9, 4, 2, 4][..], &event].concat()));
        assert_eq!((batch.events(), batch.rejected), (3, 0));
        batch.push(message(3, &[0, 0, 0]));
        batch.push(message(4, &[0, 0, 0, 0, 9, 4, 2]));
        batch.push(message(5, b"\x0f"));
        batch.push(message(6, b""));
        assert_eq!((batch.events(), batch.rejected), (3, 4));
        assert!(reasons(&mut batch)[3].starts_with("is missing"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded_the_same_way_twice(bytes: Vec<u8>, is_json: bool) {
            let format = if is_json { KafkaFormat::Json } else { KafkaFormat::Event };
            let (mut one, mut other) = (batch(format), batch(format));
            one.push(message(0, &bytes));
            other.push(message(0, &bytes));
            proptest::prop_assert_eq!(one.records, other.records);
        }
    }
}
