//! The writer's journal records.
//!
//! | kind | payload |
//! | --- | --- |
//! | events | project, producer id, sequence, time of receipt, and the columns of the accepted events |
//! | events, version 1 | the same without a project, and with other columns; only written by earlier versions |
//! | seal | batch id, first and last record, number of events, shard: the events records in this range form one batch |
//! | landed | the same as the seal: the batch is in ClickHouse or in the dead-letter folder |
//! | producers | the durable sequence of every producer; only written by earlier versions |
//! | snapshot | one part of a [`Snapshot`]: its index, the number of parts, and its bytes |
//!
//! A landed record repeats the range, so that it identifies its batch even if the seal is damaged.
//!
//! Numbers are little-endian. An unknown kind is an error: a newer version wrote the journal.

use uuid::Uuid;

use super::columns::{EventColumns, MalformedColumns};
use crate::project::Project;

/// The kind byte of a record, which is part of the journal's format.
pub mod kind {
    /// See [`EventsRecord`](super::EventsRecord). Only written by earlier versions.
    pub const EVENTS_VERSION_1: u8 = 1;
    /// See [`Seal`](super::Seal).
    pub const SEAL: u8 = 2;
    /// See [`WriterRecord::Landed`](super::WriterRecord::Landed).
    pub const LANDED: u8 = 3;
    /// See [`WriterRecord::Producers`](super::WriterRecord::Producers).
    pub const PRODUCERS: u8 = 4;
    /// See [`SnapshotPart`](super::SnapshotPart).
    pub const SNAPSHOT: u8 = 5;
    /// See [`EventsRecord`](super::EventsRecord).
    pub const EVENTS: u8 = 6;
}

/// A decoded record.
#[derive(Debug, PartialEq)]
pub enum WriterRecord {
    Events(Box<EventsRecord>),
    Seal(Seal),
    /// The batch is in ClickHouse or in the dead-letter folder.
    Landed {
        batch_id: Uuid,
        /// `None` in records of earlier versions, which hold only the id.
        seal: Option<Seal>,
    },
    /// Id, last durable sequence and time of the last request (ms) of each producer. Only written by earlier versions.
    Producers(Vec<(String, u64, i64)>),
    SnapshotPart(SnapshotPart),
}

/// The accepted events of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct EventsRecord {
    /// The project of the events and of the producer.
    pub project: Project,
    /// Empty for a request without a producer.
    pub producer_id: String,
    /// The sequence of the request; without meaning if there is no producer.
    pub sequence: u64,
    /// Milliseconds since 1970 UTC.
    pub received_at_ms: i64,
    pub columns: EventColumns,
}

/// Defines a batch: its id, and the range of records whose events it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The id of the batch, which is also its deduplication token.
    pub batch_id: Uuid,
    /// LSN of the first record.
    pub first: u64,
    /// LSN of the last record, inclusive.
    pub last: u64,
    /// Number of events in the batch; 0 in records of earlier versions, which do not have it.
    pub events: u64,
    /// The shard of ClickHouse that gets the batch, from 0; earlier versions had one shard.
    pub shard: u32,
}

/// The state that must survive the release of the records it came from. It replaces every earlier record at recovery.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Id, last admitted sequence and time of the last request (ms) of each producer, longest idle first.
    pub producers: Vec<(String, u64, i64)>,
    /// Hashes of the forgotten producers, oldest first.
    pub forgotten: Vec<u64>,
    /// The most recent explicit event ids, oldest first.
    pub event_ids: Vec<Uuid>,
}

/// A part of a snapshot, which fits into one record. No other record is between the parts of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// From 0.
    pub index: u16,
    /// Number of parts of the snapshot.
    pub count: u16,
    pub bytes: Vec<u8>,
}

/// Why a record cannot be decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MalformedRecord {
    #[error("unknown record kind {0}, written by a newer version")]
    UnknownKind(u8),
    #[error("a record of kind {0} is truncated")]
    Truncated(u8),
    #[error("a producer id is not UTF-8")]
    ProducerId,
    #[error("a project is invalid")]
    Project,
    #[error(transparent)]
    Columns(#[from] MalformedColumns),
}

impl EventsRecord {
    pub fn encode(&self) -> Vec<u8> {
        Self::encode_fields(
            &self.project,
            &self.producer_id,
            self.sequence,
            self.received_at_ms,
            &self.columns,
        )
    }

    /// Encodes a record without owning its fields.
    pub fn encode_fields(
        project: &Project,
        producer_id: &str,
        sequence: u64,
        received_at_ms: i64,
        columns: &EventColumns,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(columns.size_bytes() + producer_id.len() + 256);
        write_string(&mut out, project.as_str());
        write_string(&mut out, producer_id);
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&received_at_ms.to_le_bytes());
        columns.encode_to(&mut out);
        out
    }
}

impl Seal {
    /// Encodes the payload of both the seal record and the landed record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.batch_id.as_bytes().to_vec();
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        out.extend_from_slice(&self.shard.to_le_bytes());
        out
    }

    fn decode(reader: &mut PayloadReader<'_>) -> Result<Self, MalformedRecord> {
        Ok(Self {
            batch_id: Uuid::from_bytes(reader.read_array()?),
            first: u64::from_le_bytes(reader.read_array()?),
            last: u64::from_le_bytes(reader.read_array()?),
            events: if reader.rest.is_empty() { 0 } else { u64::from_le_bytes(reader.read_array()?) },
            shard: if reader.rest.is_empty() { 0 } else { u32::from_le_bytes(reader.read_array()?) },
        })
    }
}

impl Snapshot {
    /// Encodes the payloads of the snapshot's records, in order. Each holds at most `part_bytes` of the snapshot.
    pub fn encode(&self, part_bytes: usize) -> Vec<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.event_ids.len() * 16 + self.producers.len() * 64 + 16);
        bytes.extend_from_slice(&(self.producers.len() as u64).to_le_bytes());
        for (producer_id, sequence, last_seen_ms) in &self.producers {
            write_string(&mut bytes, producer_id);
            bytes.extend_from_slice(&sequence.to_le_bytes());
            bytes.extend_from_slice(&last_seen_ms.to_le_bytes());
        }
        bytes.extend_from_slice(&(self.forgotten.len() as u64).to_le_bytes());
        for hash in &self.forgotten {
            bytes.extend_from_slice(&hash.to_le_bytes());
        }
        for id in &self.event_ids {
            bytes.extend_from_slice(id.as_bytes());
        }
        let parts: Vec<&[u8]> = bytes.chunks(part_bytes).collect();
        let count = u16::try_from(parts.len()).expect("the numbers of producers and event ids are bounded");
        (0..count)
            .zip(parts)
            .map(|(index, bytes)| {
                let mut payload = Vec::with_capacity(bytes.len() + 4);
                payload.extend_from_slice(&index.to_le_bytes());
                payload.extend_from_slice(&count.to_le_bytes());
                payload.extend_from_slice(bytes);
                payload
            })
            .collect()
    }

    /// Decodes the concatenated bytes of all parts.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedRecord> {
        let mut reader = PayloadReader { kind: kind::SNAPSHOT, rest: bytes };
        let count = u64::from_le_bytes(reader.read_array()?);
        let mut producers = Vec::new();
        for _ in 0..count {
            producers.push(reader.read_producer()?);
        }
        let count = u64::from_le_bytes(reader.read_array()?);
        let mut forgotten = Vec::new();
        for _ in 0..count {
            forgotten.push(u64::from_le_bytes(reader.read_array()?));
        }
        if !reader.rest.len().is_multiple_of(16) {
            return Err(MalformedRecord::Truncated(kind::SNAPSHOT));
        }
        let event_ids = reader.rest.chunks_exact(16).filter_map(|id| Uuid::from_slice(id).ok()).collect();
        Ok(Self { producers, forgotten, event_ids })
    }
}

impl WriterRecord {
    /// Decodes a payload of the given [`kind`].
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Self, MalformedRecord> {
        let mut reader = PayloadReader { kind, rest: payload };
        match kind {
            kind::EVENTS => Ok(Self::Events(Box::new(EventsRecord {
                project: reader.read_string()?.parse().map_err(|_| MalformedRecord::Project)?,
                producer_id: reader.read_string()?,
                sequence: u64::from_le_bytes(reader.read_array()?),
                received_at_ms: i64::from_le_bytes(reader.read_array()?),
                columns: EventColumns::decode(reader.rest)?,
            }))),
            kind::EVENTS_VERSION_1 => Ok(Self::Events(Box::new(EventsRecord {
                project: Project::default(),
                producer_id: reader.read_string()?,
                sequence: u64::from_le_bytes(reader.read_array()?),
                received_at_ms: i64::from_le_bytes(reader.read_array()?),
                columns: EventColumns::decode_version_1(reader.rest)?,
            }))),
            kind::SEAL => Ok(Self::Seal(Seal::decode(&mut reader)?)),
            kind::LANDED if payload.len() == 16 => {
                Ok(Self::Landed { batch_id: Uuid::from_bytes(reader.read_array()?), seal: None })
            }
            kind::LANDED => {
                let seal = Seal::decode(&mut reader)?;
                Ok(Self::Landed { batch_id: seal.batch_id, seal: Some(seal) })
            }
            kind::PRODUCERS => {
                let mut producers = Vec::new();
                while !reader.rest.is_empty() {
                    producers.push(reader.read_producer()?);
                }
                Ok(Self::Producers(producers))
            }
            kind::SNAPSHOT => Ok(Self::SnapshotPart(SnapshotPart {
                index: u16::from_le_bytes(reader.read_array()?),
                count: u16::from_le_bytes(reader.read_array()?),
                bytes: reader.rest.to_vec(),
            })),
            other => Err(MalformedRecord::UnknownKind(other)),
        }
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("a project and a valid producer id have at most 192 bytes");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct PayloadReader<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> PayloadReader<'a> {
    fn read_bytes(&mut self, length: usize) -> Result<&'a [u8], MalformedRecord> {
        let (bytes, rest) =
            self.rest.split_at_checked(length).ok_or(MalformedRecord::Truncated(self.kind))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], MalformedRecord> {
        let mut array = [0; N];
        array.copy_from_slice(self.read_bytes(N)?);
        Ok(array)
    }

    fn read_string(&mut self) -> Result<String, MalformedRecord> {
        let length = u16::from_le_bytes(self.read_array()?);
        let text = self.read_bytes(usize::from(length))?;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| MalformedRecord::ProducerId)
    }

    fn read_producer(&mut self) -> Result<(String, u64, i64), MalformedRecord> {
        Ok((
            self.read_string()?,
            u64::from_le_bytes(self.read_array()?),
            i64::from_le_bytes(self.read_array()?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal { batch_id: Uuid::from_u128(5), first: 3, last: 9, events: 11, shard: 2 };

    #[test]
    fn every_kind_round_trips() {
        let events = EventsRecord {
            project: "shop".parse().unwrap(),
            producer_id: "billing-1".into(),
            sequence: 7,
            received_at_ms: -1,
            columns: EventColumns::default(),
        };
        let part = SnapshotPart { index: 1, count: 3, bytes: vec![7, 8] };
        let cases = [
            (kind::EVENTS, events.encode(), WriterRecord::Events(Box::new(events))),
            (kind::SEAL, SEAL.encode(), WriterRecord::Seal(SEAL)),
            (kind::LANDED, SEAL.encode(), WriterRecord::Landed { batch_id: SEAL.batch_id, seal: Some(SEAL) }),
            (kind::SNAPSHOT, vec![1, 0, 3, 0, 7, 8], WriterRecord::SnapshotPart(part)),
        ];
        for (kind, payload, record) in cases {
            assert_eq!(WriterRecord::decode(kind, &payload), Ok(record));
        }
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        assert_eq!(
            WriterRecord::decode(kind::SEAL, &SEAL.encode()[..32]),
            Ok(WriterRecord::Seal(Seal { events: 0, shard: 0, ..SEAL }))
        );
        assert_eq!(
            WriterRecord::decode(kind::SEAL, &SEAL.encode()[..40]),
            Ok(WriterRecord::Seal(Seal { shard: 0, ..SEAL }))
        );
        assert_eq!(
            WriterRecord::decode(kind::LANDED, SEAL.batch_id.as_bytes()),
            Ok(WriterRecord::Landed { batch_id: SEAL.batch_id, seal: None })
        );
        let mut producers = Vec::new();
        write_string(&mut producers, "a");
        producers.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            WriterRecord::decode(kind::PRODUCERS, &producers),
            Ok(WriterRecord::Producers(vec![("a".into(), 1, 2)]))
        );
    }

    #[test]
    fn a_large_snapshot_is_split_into_parts_and_reassembled() {
        let snapshot = Snapshot {
            producers: vec![("a".to_owned(), 1, 2), ("b".to_owned(), 3, -4)],
            forgotten: vec![7, u64::MAX],
            event_ids: (0..1_100_000).map(Uuid::from_u128).collect(),
        };
        let payloads = snapshot.encode(8 << 20);
        assert_eq!(payloads.len(), 3);
        let mut bytes = Vec::new();
        for (index, payload) in (0_u16..).zip(&payloads) {
            let Ok(WriterRecord::SnapshotPart(part)) = WriterRecord::decode(kind::SNAPSHOT, payload) else {
                panic!("not a part of a snapshot");
            };
            assert_eq!((part.index, part.count), (index, 3));
            bytes.extend_from_slice(&part.bytes);
        }
        assert_eq!(Snapshot::decode(&bytes), Ok(snapshot));
    }

    #[test]
    fn truncated_and_unknown_records_are_errors() {
        assert_eq!(WriterRecord::decode(kind::SEAL, &[0; 20]), Err(MalformedRecord::Truncated(kind::SEAL)));
        assert_eq!(WriterRecord::decode(99, &[]), Err(MalformedRecord::UnknownKind(99)));
        assert_eq!(Snapshot::decode(&[0; 9]), Err(MalformedRecord::Truncated(kind::SNAPSHOT)));
    }
}
